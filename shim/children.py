"""The parts of a Wildloop server, each started as a child of `wildloop up`."""

import http.client
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from wildloop.blocks.interpreter import own_command
from wildloop.blocks.proof import proves
from wildloop.flows.prefect_inside.refusal import REFUSED, refused
from wildloop.shim.database import (
    DatabaseKind,
    DatabaseUnavailable,
    EmbeddedPostgres,
    check_sqlite,
    find_postgres,
    has_postgres,
    postgres_environment,
)
from wildloop.shim.plan import LOOPBACK, Plan
from wildloop.shim.supervisor import Child, ChildFailed, Supervisor

EXTERNAL_SECONDS = 15.0
LOOK_SECONDS = 0.2
Say = Callable[[str], None]


def start_prefect(
    supervisor: Supervisor, plan: Plan, kind: DatabaseKind, stopped: Callable[[], bool], say: Say
) -> None:
    """Start the Prefect server and, while it loads, its database.

    Raises:
        DatabaseUnavailable: this home's history cannot be read here.
    """
    postgres = find_or_none(plan.home, say) if kind is DatabaseKind.POSTGRES else None
    if postgres is None:
        check_sqlite(plan.home)
        supervisor.start(prefect_server(plan, None, None))
        return
    ready_file = plan.home / "run" / f"database-ready-{os.getpid()}"
    server = prefect_server(plan, postgres.url, ready_file)
    supervisor.start(server)
    try:
        postgres.create()
    except DatabaseUnavailable as error:
        supervisor.drop(server)
        say(f"using SQLite, which is slower in bursts: {error}")
        supervisor.start(prefect_server(plan, None, None))
        return
    postgres.stop_leftover()
    child = Child(
        name="PostgreSQL",
        command=postgres.command(),
        env=postgres_environment(),
        log=plan.log("postgres"),
        ready=postgres.is_ready,
        grace_s=10.0,
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for clients to leave.
        stop_signal=signal.SIGINT,
    )
    supervisor.start(child, before=server)
    if supervisor.wait_ready([child], stopped):
        ready_file.touch()


def find_or_none(home: Path, say: Say) -> EmbeddedPostgres | None:
    """The embedded PostgreSQL; None, with one line said, where it cannot run.

    Raises:
        DatabaseUnavailable: it cannot run, yet this home's history is in it.
    """
    try:
        return find_postgres(home)
    except DatabaseUnavailable as error:
        if has_postgres(home):
            raise DatabaseUnavailable(
                f"the history of {home} is in PostgreSQL, which cannot run: {error}; "
                "`--database sqlite` begins a new one"
            ) from error
        say(f"using SQLite, which is slower in bursts: {error}")
        return None


def prefect_server(plan: Plan, database_url: str | None, ready_file: Path | None) -> Child:
    """The embedded Prefect server as a child; it waits for `ready_file` if one is given."""
    url = plan.prefect_api_url
    command = own_command("wildloop.shim.prefect_server", "--port", str(plan.prefect_port))
    if ready_file is not None:
        command += ["--database-ready", str(ready_file)]
    return Child(
        name="Prefect server",
        command=command,
        env=plan.server_environment(database_url),
        log=plan.log("server"),
        ready=lambda: proves(url, plan.key) and answers(f"{url}/health"),
    )


def start_workers(supervisor: Supervisor, plan: Plan) -> None:
    """Start the worker and the API; both wait by themselves for the Prefect server."""
    ready_file = plan.worker_ready_file
    arguments = ["--ready-file", str(ready_file), "--compute", plan.compute]
    if plan.slots is not None:
        arguments += ["--slots", str(plan.slots)]
    supervisor.start(
        Child(
            name="worker",
            command=[*plan.worker, *arguments],
            env=plan.environment(),
            log=plan.log("worker"),
            ready=ready_file.exists,
            grace_s=15.0,
        )
    )
    supervisor.start(
        Child(
            name="API",
            command=[*plan.api, "--host", plan.host, "--port", str(plan.port)],
            env=plan.api_environment(),
            log=plan.log("shim"),
            ready=lambda: proves(plan.server_url, plan.key) and answers(f"{plan.server_url}/ready"),
        )
    )


def await_external(plan: Plan, stopped: Callable[[], bool]) -> None:
    """Wait a little for the server of PREFECT_API_URL, so that a wrong one is told at once.

    Raises:
        ChildFailed: it does not answer, or refuses access.
    """
    deadline = time.monotonic() + EXTERNAL_SECONDS
    while not stopped():
        try:
            httpx.get(f"{plan.prefect_api_url}/health", timeout=5.0)
            check_access(plan.prefect_api_url)
            return
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if time.monotonic() > deadline or isinstance(error, httpx.UnsupportedProtocol):
                raise ChildFailed(
                    f"PREFECT_API_URL '{plan.prefect_api_url}' does not answer ({error}): mend it, "
                    "or unset it to have a Prefect server started"
                ) from error
        time.sleep(LOOK_SECONDS)


def check_access(url: str) -> None:
    """Ask a server as Prefect's settings say: its refusal is told once, not by each part.

    Raises:
        ChildFailed: it refuses access.
    """
    # Takes a second, which only those pay who use a server of their own.
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        try:
            client.request("GET", "/admin/version")
        except httpx.HTTPStatusError as error:
            if error.response.status_code in REFUSED:
                raise ChildFailed(refused(url, error.response.status_code)) from error
            # What else is wrong may pass; worker and API wait for that.


def answers(url: str) -> bool:
    """Whether a URL of this machine answers with success, proxies or not."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or LOOPBACK, parts.port, timeout=2.0)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
