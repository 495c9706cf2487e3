"""`wildloop up`: Prefect server, worker and API in the foreground."""

import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import typer

from flows.settings import (
    DEFAULT_PORT,
    HOME_VARIABLE,
    SERVER_URL_VARIABLE,
    TOKEN_VARIABLE,
    ensure_token,
    wildloop_home,
)
from shim.cli.output import fail
from shim.database import (
    DatabaseKind,
    DatabaseUnavailable,
    EmbeddedPostgres,
    choose_database,
    find_postgres,
    has_postgres,
    postgres_environment,
)
from shim.net import free_ports, is_loopback, port_fault
from shim.supervisor import (
    AlreadyRuns,
    Child,
    ChildFailed,
    Supervisor,
    guarded,
    only_one,
    stop_leftovers,
)

START_SECONDS = 120.0
EXTERNAL_SECONDS = 15.0
LOOK_SECONDS = 0.2
LOOPBACK = "127.0.0.1"
PREFECT_PORT = 4200
WORKER = (sys.executable, "-P", "-m", "flows.worker.main")
API = (sys.executable, "-P", "-m", "shim.main")


@dataclass(frozen=True)
class Plan:
    """What one `up` starts, all checked. `database` None: the server of PREFECT_API_URL is used."""

    home: Path
    host: str
    port: int
    workdir: Path
    token: str
    slots: int | None = None
    compute: str = "auto"
    database: DatabaseKind | None = None
    prefect_port: int = PREFECT_PORT
    worker: tuple[str, ...] = WORKER
    api: tuple[str, ...] = API

    @property
    def server_url(self) -> str:
        """Where this machine reaches the API."""
        shown = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.host, self.host)
        return f"http://{bracketed(shown)}:{self.port}"

    @property
    def prefect_api_url(self) -> str:
        """The Prefect API that worker and shim talk to."""
        if self.database is None:
            return os.environ["PREFECT_API_URL"]
        return f"http://{LOOPBACK}:{self.prefect_port}/api"

    def environment(self) -> dict[str, str]:
        """The environment of the children; the token travels here, never on a command line."""
        env = dict(os.environ) | {
            HOME_VARIABLE: str(self.home),
            SERVER_URL_VARIABLE: self.server_url,
            "WILDLOOP_WORKDIR": str(self.workdir),
            TOKEN_VARIABLE: self.token,
        }
        if self.database is None:
            return env
        # The user's own profile must not lead our processes to another server.
        env = {key: value for key, value in env.items() if not key.startswith("PREFECT_")}
        env |= {"PREFECT_API_URL": self.prefect_api_url, "PREFECT_HOME": str(self.home / "prefect")}
        if self.token:
            env["PREFECT_API_AUTH_STRING"] = f"wildloop:{self.token}"
        return env

    def server_environment(self, database_url: str | None) -> dict[str, str]:
        """The environment of the embedded Prefect server."""
        # PGPORT and the like would lead the driver to another PostgreSQL.
        env = {key: value for key, value in self.environment().items() if key[:2] != "PG"}
        env |= {
            "PREFECT_SERVER_API_HOST": LOOPBACK,
            "PREFECT_SERVER_API_PORT": str(self.prefect_port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        }
        if self.token:
            env["PREFECT_SERVER_API_AUTH_STRING"] = env["PREFECT_API_AUTH_STRING"]
        if database_url is not None:
            env["PREFECT_API_DATABASE_CONNECTION_URL"] = database_url
        return env


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
            help="Where runs go: auto (Slurm where it is found), local, slurm, or a saved block "
            "as wildloop-slurm-compute/<name>."
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
        str, typer.Option(help="Port of the embedded Prefect server; auto: 4200 or any free one.")
    ] = "auto",
) -> None:
    """Start Prefect server, worker and API; Ctrl-C stops them, experiments go on.

    With PREFECT_API_URL set, that server is used and none is started.
    """
    home, folder = wildloop_home(), (workdir or Path.cwd()).expanduser().resolve()
    if not folder.is_dir():
        fail(f"--workdir '{folder}' does not exist: create it or give another")
    if no_token and not is_loopback(host):
        fail(f"refused to bind {host} without a token: drop --no-token or bind {LOOPBACK}")
    embedded = not os.environ.get("PREFECT_API_URL")
    wanted = parse_prefect_port(prefect_port)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / "run").mkdir(exist_ok=True, mode=0o700)
    try:
        with only_one(home / "run" / "lock", say) as lock:
            if left := stop_leftovers(record_of(home)):
                say(f"stopped what an earlier `up` had left: {', '.join(left)}")
            check_port(host, port, "--port")
            plan = Plan(
                home=home,
                host=host,
                port=port,
                workdir=folder,
                token="" if no_token else ensure_token(home).get_secret_value(),
                slots=slots,
                compute=compute,
                database=choose_database(home, database) if embedded else None,
                prefect_port=find_prefect_port(wanted, port) if embedded else PREFECT_PORT,
            )
            with guarded(record_of(home), hold=[lock]):
                run_all(plan)
    except AlreadyRuns as error:
        fail(
            f"`wildloop up` runs already on {home} (pid {error.pid}): stop it, or set "
            f"{HOME_VARIABLE} to another folder"
        )


def run_all(plan: Plan) -> None:
    """Start everything, say so, and keep it running until a signal."""
    stopping = stop_event()
    for stale in (plan.home / "run").glob("*-ready-*"):
        stale.unlink(missing_ok=True)
    supervisor = Supervisor(record_of(plan.home), say)
    try:
        if plan.database is not None:
            start_prefect(supervisor, plan, plan.database, stopping.is_set)
        else:
            await_external(plan, stopping.is_set)
        start_workers(supervisor, plan)
        if supervisor.wait_ready(supervisor.children, START_SECONDS, stopping.is_set):
            announce(plan)
        while not stopping.wait(LOOK_SECONDS):
            supervisor.keep()
    except (ChildFailed, DatabaseUnavailable) as error:
        supervisor.stop()
        fail(str(error))
    finally:
        note_path(plan.home).unlink(missing_ok=True)
        supervisor.stop()
    say("stopped; experiments that run go on and are taken up again by the next `wildloop up`")


def start_prefect(
    supervisor: Supervisor, plan: Plan, kind: DatabaseKind, stopped: Callable[[], bool]
) -> None:
    """Start the Prefect server and, while it loads, its database.

    Raises:
        DatabaseUnavailable: this home's history is in a PostgreSQL that cannot run here.
    """
    postgres = find_or_none(plan.home) if kind is DatabaseKind.POSTGRES else None
    if postgres is None:
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
        log=plan.home / "logs" / "postgres.log",
        ready=postgres.is_ready,
        grace_s=10.0,
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for clients to leave.
        stop_signal=signal.SIGINT,
    )
    supervisor.start(child, before=server)
    if supervisor.wait_ready([child], START_SECONDS, stopped):
        ready_file.touch()


def find_or_none(home: Path) -> EmbeddedPostgres | None:
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
    command = [sys.executable, "-P", "-m", "shim.prefect_server", "--port", str(plan.prefect_port)]
    if ready_file is not None:
        command += ["--database-ready", str(ready_file)]
    return Child(
        name="Prefect server",
        command=command,
        env=plan.server_environment(database_url),
        log=plan.home / "logs" / "server.log",
        ready=lambda: answers(f"{plan.prefect_api_url}/health"),
    )


def start_workers(supervisor: Supervisor, plan: Plan) -> None:
    """Start the worker and the API; both wait by themselves for the Prefect server."""
    environment = plan.environment()
    ready_file = worker_ready_file(plan)
    arguments = ["--ready-file", str(ready_file), "--compute", plan.compute]
    if plan.slots is not None:
        arguments += ["--slots", str(plan.slots)]
    supervisor.start(
        Child(
            name="worker",
            command=[*plan.worker, *arguments],
            env=environment,
            log=plan.home / "logs" / "worker.log",
            ready=ready_file.exists,
            grace_s=15.0,
        )
    )
    supervisor.start(
        Child(
            name="API",
            command=[*plan.api, "--host", plan.host, "--port", str(plan.port)],
            env=environment,
            log=plan.home / "logs" / "shim.log",
            ready=lambda: answers(f"{plan.server_url}/health"),
        )
    )


def announce(plan: Plan) -> None:
    """Say that all is ready, and leave word for the other commands."""
    ui = os.environ.get("PREFECT_UI_URL") if plan.database is None else None
    ui = ui or plan.prefect_api_url.removesuffix("/api")
    found = {
        "pid": os.getpid(),
        "server_url": plan.server_url,
        "prefect_api_url": plan.prefect_api_url,
        "prefect_ui_url": ui,
    }
    path = note_path(plan.home)
    path.touch(mode=0o600)
    path.write_text(json.dumps(found), encoding="utf-8")
    say(f"Prefect UI: {ui}")
    if plan.token:
        place = f"in ${TOKEN_VARIABLE}" if os.environ.get(TOKEN_VARIABLE) else plan.home / "token"
        hint = "; the Prefect UI asks for wildloop:<token>" if plan.database else ""
        say(f"Token: {place}{hint}")
    if note := worker_ready_file(plan).read_text(encoding="utf-8").strip():
        say(f"Note: {note}")
    say(f"Wildloop ready: http://{bracketed(plan.host)}:{plan.port}")


def await_external(plan: Plan, stopped: Callable[[], bool]) -> None:
    """Wait a little for the server of PREFECT_API_URL, so that a wrong one is told at once.

    Raises:
        ChildFailed: it does not answer.
    """
    deadline = time.monotonic() + EXTERNAL_SECONDS
    while not stopped():
        try:
            httpx.get(f"{plan.prefect_api_url}/health", timeout=5.0)
            return
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if time.monotonic() > deadline or isinstance(error, httpx.UnsupportedProtocol):
                raise ChildFailed(
                    f"PREFECT_API_URL '{plan.prefect_api_url}' does not answer ({error}): mend it, "
                    "or unset it to have a Prefect server started"
                ) from error
        time.sleep(LOOK_SECONDS)


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


def parse_prefect_port(text: str) -> int | None:
    """The port asked for; None for `auto`."""
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        fail(f"--prefect-port '{text}' is not a port: give 1 to 65535, or auto")
    return int(text)


def find_prefect_port(wanted: int | None, port: int) -> int:
    """A port for the embedded Prefect server that is free and not the API's own."""
    if wanted is not None:
        if wanted == port:
            fail(f"--port and --prefect-port are both {port}: give two different ones")
        check_port(LOOPBACK, wanted, "--prefect-port")
        return wanted
    if port != PREFECT_PORT and port_fault(LOOPBACK, PREFECT_PORT) is None:
        return PREFECT_PORT
    return next(found for found in free_ports(2) if found != port)


def check_port(host: str, port: int, option: str) -> None:
    """Refuse a port that is taken, before anything is started."""
    fault = port_fault(host, port)
    if fault is not None:
        fail(f"port {port} on {host}: {fault}: give another by {option}")


def stop_event() -> threading.Event:
    """Set by SIGINT and SIGTERM, and by SIGHUP unless it is ignored (nohup)."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
            continue
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def record_of(home: Path) -> Path:
    """Where the children of `up` are written down."""
    return home / "run" / "children.json"


def worker_ready_file(plan: Plan) -> Path:
    """Written by the worker once it is up, with what a person should know of it."""
    return plan.home / "run" / f"worker-ready-{os.getpid()}"


def note_path(home: Path) -> Path:
    """Where the other commands find the running `up`."""
    return home / "run" / "up.json"


def bracketed(host: str) -> str:
    """The host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    typer.echo(text)
    sys.stdout.flush()
