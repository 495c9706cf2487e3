"""`wildloop worker`: registers what is missing, adopts what was left, then takes work."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from pathlib import Path

import httpx
from prefect.context import AsyncClientContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings

from wildloop.blocks.proof import prefect_key, proves
from wildloop.blocks.proxies import async_transport_to, keep_off_proxies
from wildloop.flows.errors import Unavailable, WildloopError
from wildloop.flows.prefect_inside.lean import lean_engine
from wildloop.flows.prefect_inside.outage import Outage
from wildloop.flows.prefect_inside.patience import make_patient, patient_limits
from wildloop.flows.prefect_inside.refusal import REFUSED, refused
from wildloop.flows.settings import POOL_NAME, read_token, wildloop_home
from wildloop.flows.store.hosts import WORKER_PREFIX, publish_host
from wildloop.flows.text.redaction import Redactor, redact_logs
from wildloop.flows.worker.compute import AUTO, CHOICES
from wildloop.flows.worker.computes import find_all
from wildloop.flows.worker.deployments import ensure_deployments
from wildloop.flows.worker.host import HostCompute
from wildloop.flows.worker.identity import worker_identity
from wildloop.flows.worker.one_per_host import HostHold
from wildloop.flows.worker.worker import WildloopWorker

CONNECT_SECONDS = 120.0
EXIT_GRACE_SECONDS = 10.0
STANDING_BY = "another worker of this pool runs on this host: this one stands by until it ends"


def main(arguments: list[str] | None = None) -> None:
    """Run a worker until SIGTERM or SIGINT; experiments go on afterwards."""
    parser = argparse.ArgumentParser(prog="wildloop worker", description=__doc__)
    parser.add_argument("--slots", type=int, help="concurrent runs (default: one per GPU)")
    parser.add_argument("--compute", default=AUTO, help=f"where runs go: {CHOICES}")
    parser.add_argument("--ready-file", type=Path, help="created when the worker takes work")
    options = parser.parse_args(arguments)
    if options.slots is not None and options.slots < 1:
        parser.error("--slots must be at least 1")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    keep_off_proxies()
    home = wildloop_home()
    # On a host of its own nobody else has made it.
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    token = read_token(home)
    redact_logs(Redactor.of(os.environ, token.get_secret_value() if token else None))
    stop, done = threading.Event(), threading.Event()

    def work() -> None:
        # Ends the process from within: closing the loop would cancel the waits for agents that
        # are to outlive this worker, and cancelling such a wait ends its agent.
        try:
            asyncio.run(run_worker(options.slots, options.compute, options.ready_file, stop, done))
        except WildloopError as error:
            sys.stderr.write(f"wildloop worker: {error}\n")
        finally:
            stop.set()

    # The flow engine swaps SIGTERM handlers per flow run, which interleaved coroutines would
    # leave in disorder; it does so in the main thread only, so the loop lives in another.
    thread = threading.Thread(target=work, name="wildloop-worker", daemon=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    thread.start()
    stop.wait()
    let_go = done.wait(EXIT_GRACE_SECONDS)
    # Prefect's threads may hold unsent logs for a long time; the states are on the server.
    os._exit(0 if let_go else 1)


async def run_worker(
    slots: int | None,
    compute: str,
    ready_file: Path | None,
    stop: threading.Event,
    done: threading.Event,
) -> None:
    """Run a worker until `stop` is set; then let go of everything, set `done`, and wait.

    Raises:
        Unavailable: the Prefect API does not answer, or refuses access.
        InvalidRequest: `compute` names nothing that is there.
    """
    await wait_for_api(stop)
    outage = Outage()
    with lean_engine(), patient_limits(outage):
        try:
            await serve(slots, compute, ready_file, stop, done, outage)
        except PrefectHTTPStatusError as error:
            status = error.response.status_code
            if status not in REFUSED:
                raise
            raise Unavailable(refused(str(get_current_settings().api.url), status)) from error


async def serve(
    slots: int | None,
    compute: str,
    ready_file: Path | None,
    stop: threading.Event,
    done: threading.Event,
    outage: Outage,
) -> None:
    """As `run_worker`, on a server that answers."""
    async with AsyncClientContext() as context:
        make_patient(context.client, outage)
        await ensure_deployments(context.client)
        hold = HostHold((await context.client.read_work_pool(POOL_NAME)).id)
        await hold.take(lambda: say_ready(ready_file, STANDING_BY))
        record, launchers, renewal = await find_all(compute, worker_identity().host, slots)
        host = HostCompute(record, renewal, launchers)
        await publish_host(context.client, host.record)
        worker = WildloopWorker(
            work_pool_name=POOL_NAME,
            name=WORKER_PREFIX + worker_identity().host,
            create_pool_if_not_found=False,
        )
        worker.host = host
        worker.outage = outage
        worker.launchers = launchers
        serving = asyncio.create_task(worker.start(printer=lambda *_: None))
        while not worker.settled and not serving.done():  # noqa: ASYNC110 - Prefect has no event
            await asyncio.sleep(0.02)
        if not serving.done():
            say_ready(ready_file, worker.taken_up)
        stopping = asyncio.create_task(asyncio.to_thread(stop.wait))
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            # Else the thread that waits for it would keep this loop from closing, for ever.
            stop.set()
            serving.result()
        await worker.let_go()
        done.set()
        await asyncio.sleep(EXIT_GRACE_SECONDS)


def say_ready(ready_file: Path | None, note: str) -> None:
    """Tell whoever started this worker that it is up; `note` is what a person should know."""
    if ready_file is not None:
        ready_file.write_text(note, encoding="utf-8")


async def wait_for_api(stop: threading.Event) -> None:
    """Wait until the Prefect API answers; that of an `up`, for as long as the `up` lasts.

    Nothing secret is sent before a server of our own has proved to be ours.

    Raises:
        Unavailable: another one did not within two minutes.
    """
    url, key = str(get_current_settings().api.url), prefect_key()
    if key is not None:
        await asyncio.to_thread(_wait_for_proof, url, key, stop)
        return
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await _wait_for_answer(f"{url}/health", stop)
    except TimeoutError as error:
        raise Unavailable(
            f"the Prefect server at {url} did not answer within {CONNECT_SECONDS:g} s: start it, "
            "or correct PREFECT_API_URL"
        ) from error


def _wait_for_proof(url: str, key: str, stop: threading.Event) -> None:
    while not proves(url, key) and not stop.wait(0.1):
        continue


async def _wait_for_answer(url: str, stop: threading.Event) -> None:
    async with httpx.AsyncClient(transport=async_transport_to(url)) as http:
        while not stop.is_set():
            with contextlib.suppress(httpx.TransportError):
                if not (await http.get(url)).is_server_error:
                    return
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    main()
