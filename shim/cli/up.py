"""`wildloop up`: Prefect server, worker and API in the foreground."""

import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

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
from shim.database import DatabaseKind, DatabaseUnavailable, EmbeddedPostgres, prepare_postgres
from shim.net import is_loopback, port_fault
from shim.supervisor import Child, ChildFailed, Supervisor

START_SECONDS = 120.0
LOOK_SECONDS = 0.5
LOOPBACK = "127.0.0.1"


def up(
    host: Annotated[str, typer.Option(help="Address of the API.")] = LOOPBACK,
    port: Annotated[int, typer.Option(help="Port of the API.")] = DEFAULT_PORT,
    workdir: Annotated[
        Path | None, typer.Option(help="Default folder of runs and sessions.", show_default="here")
    ] = None,
    slots: Annotated[
        int | None, typer.Option(min=1, help="Runs at a time (default: one per GPU, else one).")
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Do without a token (loopback only).")
    ] = False,
    database: Annotated[
        DatabaseKind, typer.Option(help="Database of the embedded Prefect server.")
    ] = DatabaseKind.POSTGRES,
    prefect_port: Annotated[int, typer.Option(help="Port of the embedded Prefect server.")] = 4200,
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
    check_port(host, port, "--port")
    if embedded:
        check_port(LOOPBACK, prefect_port, "--prefect-port")
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    (home / "run").mkdir(exist_ok=True)
    with only_one(home):
        environment = base_environment(home, host, port, folder, no_token, embedded, prefect_port)
        run_all(home, host, port, slots, database if embedded else None, prefect_port, environment)


def run_all(
    home: Path,
    host: str,
    port: int,
    slots: int | None,
    database: DatabaseKind | None,
    prefect_port: int,
    environment: dict[str, str],
) -> None:
    """Start everything, say so, and keep it running until a signal."""
    stopping = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    supervisor = Supervisor(home / "run" / "children.json", lambda text: say(text))
    if left := supervisor.stop_leftovers():
        say(f"stopped what an earlier `up` had left: {', '.join(left)}")
    try:
        if database is not None:
            start_prefect(supervisor, home, database, prefect_port, environment, stopping)
        start_workers(supervisor, home, host, port, slots, environment)
        if supervisor.wait_ready(supervisor.children, START_SECONDS, stopping.is_set):
            announce(home, host, port, environment)
        while not stopping.wait(LOOK_SECONDS):
            supervisor.keep()
    except ChildFailed as error:
        supervisor.stop()
        fail(str(error))
    finally:
        (home / "run" / "up.json").unlink(missing_ok=True)
        supervisor.stop()
    say("stopped; experiments that run go on and are taken up again by the next `wildloop up`")


def start_prefect(
    supervisor: Supervisor,
    home: Path,
    kind: DatabaseKind,
    port: int,
    environment: dict[str, str],
    stopping: threading.Event,
) -> None:
    """Start the embedded database and the Prefect server on it."""
    env = environment | {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }
    if "PREFECT_API_AUTH_STRING" in environment:
        env["PREFECT_SERVER_API_AUTH_STRING"] = environment["PREFECT_API_AUTH_STRING"]
    if kind is DatabaseKind.POSTGRES and (postgres := postgres_or_none(home)) is not None:
        postgres.stop_leftover()
        child = Child(
            name="PostgreSQL",
            command=postgres.command(),
            env=environment,
            log=home / "logs" / "postgres.log",
            ready=postgres.is_ready,
            grace_s=10.0,
            # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for clients to leave.
            stop_signal=signal.SIGINT,
        )
        supervisor.start(child)
        supervisor.wait_ready([child], START_SECONDS, stopping.is_set)
        env["PREFECT_API_DATABASE_CONNECTION_URL"] = postgres.url
    supervisor.start(
        Child(
            name="Prefect server",
            command=[sys.executable, "-P", "-m", "shim.prefect_server", "--port", str(port)],
            env=env,
            log=home / "logs" / "server.log",
            ready=lambda: answers(f"http://{LOOPBACK}:{port}/api/health", environment),
        )
    )


def postgres_or_none(home: Path) -> EmbeddedPostgres | None:
    """The embedded PostgreSQL; None, with one line said, where it cannot run."""
    try:
        return prepare_postgres(home)
    except DatabaseUnavailable as error:
        say(f"using SQLite, which is slower in bursts: {error}")
        return None


def start_workers(
    supervisor: Supervisor,
    home: Path,
    host: str,
    port: int,
    slots: int | None,
    environment: dict[str, str],
) -> None:
    """Start the worker and the API; both wait by themselves for the Prefect server."""
    ready_file = home / "run" / f"worker-ready-{os.getpid()}"
    ready_file.unlink(missing_ok=True)
    arguments = ["--ready-file", str(ready_file)]
    if slots is not None:
        arguments += ["--slots", str(slots)]
    worker = Child(
        name="worker",
        command=[sys.executable, "-P", "-m", "flows.worker.main", *arguments],
        env=environment,
        log=home / "logs" / "worker.log",
        ready=ready_file.exists,
        grace_s=15.0,
    )
    shim = Child(
        name="API",
        command=[sys.executable, "-P", "-m", "shim.main", "--host", host, "--port", str(port)],
        env=environment,
        log=home / "logs" / "shim.log",
        ready=lambda: answers(environment[SERVER_URL_VARIABLE] + "/health", {}),
    )
    supervisor.start(worker)
    supervisor.start(shim)


def base_environment(
    home: Path,
    host: str,
    port: int,
    workdir: Path,
    no_token: bool,
    embedded: bool,
    prefect_port: int,
) -> dict[str, str]:
    """The environment of the children; the token travels here, never on a command line."""
    shown = LOOPBACK if host in ("0.0.0.0", "::") else host
    shown = f"[{shown}]" if ":" in shown else shown
    env = dict(os.environ) | {
        HOME_VARIABLE: str(home),
        SERVER_URL_VARIABLE: f"http://{shown}:{port}",
        "WILDLOOP_WORKDIR": str(workdir),
        TOKEN_VARIABLE: "" if no_token else ensure_token(home).get_secret_value(),
    }
    if embedded:
        # The user's own profile must not lead our processes to another server.
        env = {key: value for key, value in env.items() if not key.startswith("PREFECT_")}
        env["PREFECT_API_URL"] = f"http://{LOOPBACK}:{prefect_port}/api"
        env["PREFECT_HOME"] = str(home / "prefect")
        if not no_token:
            env["PREFECT_API_AUTH_STRING"] = f"wildloop:{env[TOKEN_VARIABLE]}"
    return env


def announce(home: Path, host: str, port: int, environment: dict[str, str]) -> None:
    """Say that all is ready, and leave word for the other commands."""
    api = environment["PREFECT_API_URL"]
    ui = os.environ.get("PREFECT_UI_URL") or api.removesuffix("/api")
    note: dict[str, Any] = {
        "pid": os.getpid(),
        "server_url": environment[SERVER_URL_VARIABLE],
        "prefect_api_url": api,
        "prefect_ui_url": ui,
    }
    path = home / "run" / "up.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(note), encoding="utf-8")
    say(f"Prefect UI: {ui}")
    if environment[TOKEN_VARIABLE]:
        say(f"Token: in {home / 'token'} (the Prefect UI asks for wildloop:<token>)")
    say(f"Wildloop ready: http://{host}:{port}")


def answers(url: str, environment: dict[str, str]) -> bool:
    """Whether a URL answers with success."""
    auth = None
    if "PREFECT_API_AUTH_STRING" in environment:
        name, _, password = environment["PREFECT_API_AUTH_STRING"].partition(":")
        auth = (name, password)
    with suppress(httpx.HTTPError):
        return httpx.get(url, auth=auth, timeout=2.0).is_success
    return False


def check_port(host: str, port: int, option: str) -> None:
    """Refuse a port that is taken, before anything is started."""
    fault = port_fault(host, port)
    if fault is not None:
        fail(f"port {port} on {host}: {fault}: give another by {option}")


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the lock of this WILDLOOP_HOME; the kernel frees it however we end."""
    with (home / "run" / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            fail(
                f"`wildloop up` runs already on {home} (pid {file.read().strip() or 'unknown'}): "
                f"stop it, or set {HOME_VARIABLE} to another folder"
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    typer.echo(text)
    sys.stdout.flush()
