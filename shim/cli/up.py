"""`wildloop up`: Prefect server, worker and API, in the foreground or behind it."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from wildloop.blocks.proxies import proxy_fault
from wildloop.flows.settings import (
    DEFAULT_PORT,
    HOME_VARIABLE,
    TOKEN_VARIABLE,
    ensure_token,
    wildloop_home,
)
from wildloop.shim.children import LOOK_SECONDS, await_external, start_prefect, start_workers
from wildloop.shim.cli.output import fail
from wildloop.shim.cli.prefect_target import target_of_up
from wildloop.shim.database import DatabaseKind, DatabaseUnavailable, choose_database
from wildloop.shim.detach import READY, hold_on, start_detached, stop_event
from wildloop.shim.going_on import going_on, remember_url
from wildloop.shim.home import open_home, raise_file_limit
from wildloop.shim.lock import AlreadyRuns, only_one
from wildloop.shim.net import is_loopback
from wildloop.shim.plan import LOOPBACK, PREFECT_PORT, UI_URL, Plan, bracketed
from wildloop.shim.ports import Ports
from wildloop.shim.supervisor import (
    ChildFailed,
    Supervisor,
    guarded,
    stop_leftovers,
)
from wildloop.shim.up_note import UpNote, note_path


def up(
    host: Annotated[str, typer.Option(help="Address of the API.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the API.")] = DEFAULT_PORT,
    workdir: Annotated[
        Path | None, typer.Option(help="Default folder of runs and sessions.", show_default="here")
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time (default: one per GPU, else one).")
    ] = None,
    compute: Annotated[
        str,
        typer.Option(
            help="Where runs go: auto (Slurm where it is found), local, slurm, a saved block as "
            "wildloop-slurm-compute/<name> or wildloop-kubernetes-compute/<name>, or several with "
            "commas."
        ),
    ] = "auto",
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Do without a token (loopback only).")
    ] = False,
    database: Annotated[
        DatabaseKind | None,
        typer.Option(
            help="Database of the embedded Prefect server.",
            show_default="the one this home has, else postgres",
        ),
    ] = None,
    prefect_port: Annotated[
        str,
        typer.Option(
            help="Port of the embedded Prefect server; auto: that of the last time, 4200, or any."
        ),
    ] = "auto",
    detach: Annotated[
        bool,
        typer.Option("--detach", "-d", help="Go on in the background once it is ready."),
    ] = False,
) -> None:
    """Start Prefect server, worker and API; Ctrl-C stops them, experiments go on.

    With PREFECT_API_URL or a Prefect profile, that server is used and none is started.
    """
    home, folder = wildloop_home(), (workdir or Path.cwd()).expanduser().resolve()
    if not folder.is_dir():
        fail(f"--workdir '{folder}' does not exist: create it or give another")
    if no_token and not is_loopback(host):
        fail(f"refused to bind {host} without a token: drop --no-token or bind {LOOPBACK}")
    if fault := proxy_fault():
        fail(fault)
    wanted = parse_prefect_port(prefect_port)
    open_home(home)
    if detach:
        options: dict[str, object] = {
            "host": host,
            "port": port,
            "workdir": folder,
            "slots": slots,
            "compute": compute,
            "database": database.value if database else None,
            "prefect-port": prefect_port,
        }
        given = [f"--{name}={value}" for name, value in options.items() if value is not None]
        start_detached(home, [*given, *(["--no-token"] if no_token else [])], say)
        return
    target, choice = target_of_up(home, database is not None or wanted is not None)
    embedded = target is None
    if target is not None:
        os.environ["PREFECT_API_URL"] = target.url
    hold_on(home / "logs" / "up.log")
    if choice:
        say(choice)
    if remark := raise_file_limit():
        say(f"Note: {remark}")
    try:
        with only_one(home / "run" / "lock", say) as lock:
            if left := stop_leftovers(home / "run" / "children.json"):
                say(f"stopped what an earlier `up` had left: {', '.join(left)}")
            ports = Ports(home)
            ports.take(host, port, "--port")
            plan = Plan(
                home=home,
                host=host,
                port=port,
                workdir=folder,
                token="" if no_token else ensure_token(home).get_secret_value(),
                slots=slots,
                compute=compute,
                database=choose_database(home, database) if embedded else None,
                prefect_port=ports.take_for_prefect(wanted, port) if embedded else PREFECT_PORT,
            )
            with guarded(plan.record, hold=[lock, *ports.descriptors]):
                run_all(plan)
    except AlreadyRuns as error:
        fail(
            f"`wildloop up` runs already on {home} (pid {error.pid}): stop it by `wildloop down`, "
            f"or set {HOME_VARIABLE} to another folder"
        )


def run_all(plan: Plan) -> None:
    """Start everything, say so, and keep it running until a signal."""
    stopping = stop_event()
    for stale in (plan.home / "run").glob("*-ready-*"):
        stale.unlink(missing_ok=True)
    remember_url(plan.home, plan.server_url)
    supervisor = Supervisor(plan.record, say)
    try:
        if plan.database is not None:
            say("starting Prefect server, worker and API")
            start_prefect(supervisor, plan, plan.database, stopping.is_set, say)
        else:
            await_external(plan, stopping.is_set)
        start_workers(supervisor, plan)
        if supervisor.wait_ready(supervisor.children, stopping.is_set):
            announce(plan)
        while not stopping.wait(LOOK_SECONDS):
            supervisor.keep()
    except (ChildFailed, DatabaseUnavailable) as error:
        supervisor.stop()
        fail(str(error))
    finally:
        note_path(plan.home).unlink(missing_ok=True)
        supervisor.stop()
    for line in going_on(plan.server_url).lines():
        say(line)
    say("stopped; experiments that run go on and are taken up again by the next `wildloop up`")


def announce(plan: Plan) -> None:
    """Say that all is ready, and leave word for the other commands."""
    ui = os.environ.get(UI_URL) or plan.prefect_api_url.removesuffix("/api")
    UpNote(
        pid=os.getpid(),
        server_url=plan.server_url,
        prefect_api_url=plan.prefect_api_url,
        prefect_ui_url=ui,
    ).write(plan.home)
    say(f"Prefect UI: {ui}")
    if plan.token:
        place = f"in ${TOKEN_VARIABLE}" if os.environ.get(TOKEN_VARIABLE) else plan.home / "token"
        hint = "; the Prefect UI asks for wildloop:<token>" if plan.database else ""
        say(f"Token: {place}{hint}")
    if note := plan.worker_ready_file.read_text(encoding="utf-8").strip():
        say(f"Note: {note}")
    say(f"{READY} http://{bracketed(plan.host)}:{plan.port}")


def parse_prefect_port(text: str) -> int | None:
    """The port asked for; None for `auto`."""
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        fail(f"--prefect-port '{text}' is not a port: give 1 to 65535, or auto")
    return int(text)


def say(text: str) -> None:
    """Print a line at once, also into a pipe; who listens may have gone."""
    with contextlib.suppress(OSError):
        typer.echo(text)
        sys.stdout.flush()
