"""`wildloop demo`: a whole research session on real data, from nothing to a report."""

import contextlib
import importlib.resources
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from wildloop.blocks.interpreter import own_command
from wildloop.flows.models.session import Session, SessionStatus
from wildloop.flows.models.session_options import SessionStart
from wildloop.flows.settings import HOME_VARIABLE, SERVER_URL_VARIABLE, TOKEN_VARIABLE, ensure_token
from wildloop.shim.cli.output import fail
from wildloop.shim.cli.view import best_text, follow
from wildloop.shim.client.api import ApiClient
from wildloop.shim.client.errors import ClientError
from wildloop.shim.detach import READY, stop_event
from wildloop.shim.net import free_ports

GOAL = "Get val_accuracy on the digits above 0.97, starting from the baseline of wildloop.toml"
FEWEST_RUNS = 12
# What examples/digits needs: the runs' `python` is this interpreter.
IMPORTED = ("numpy", "sklearn")
START_SECONDS = 120.0
STOP_SECONDS = 40.0


def demo(
    keep: Annotated[
        Path | None, typer.Option(help="Folder for the demo (default: .demo/<time>).")
    ] = None,
    agent: Annotated[str, typer.Option(help="The agent that does the research.")] = "baseline",
    slots: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 2,
    time_limit: Annotated[float, typer.Option(help="Seconds for the session.")] = 900.0,
    keep_up: Annotated[
        bool, typer.Option("--keep-up", help="Leave the server running until Ctrl-C.")
    ] = False,
) -> None:
    """Run a whole research session on real data: no key, no GPU, a few minutes."""
    began = time.monotonic()
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = (keep or Path(".demo") / stamp).resolve()
    if folder.exists():
        fail(f"'{folder}' is there already: give another by --keep, or remove it")
    if missing := [name for name in IMPORTED if find_spec(name) is None]:
        fail(
            f"the demo's runs import {' and '.join(missing)}, not installed beside wildloop: "
            "install it with its examples, `pip install '.[examples]'` or "
            "`uv tool install '.[examples]'`"
        )
    project = prepare_project(folder / "digits")
    say(f"project: {project} (a copy of examples/digits, now a git repository)")
    with running_server(folder / "home", project, slots) as client:
        say(f"server ready after {time.monotonic() - began:.1f} s: {client.url}/docs")
        asked = time.monotonic()
        body = SessionStart(
            goal=GOAL,
            workdir=str(project),
            agent=agent,
            max_iterations=25,
            wait_seconds=20,
            evo_sweep_enabled=True,
        )
        session = client.start(body)
        say(f"session {session.session_id}; in the Prefect UI: {session.ui_url}")
        session = follow(client, session.session_id, lambda: time.monotonic() - asked > time_limit)
        faults = verdict(session)
        conclude(session, project, time.monotonic() - asked, faults)
        if keep_up:
            # Its own handlers: a shell's background job is begun with Ctrl-C ignored.
            stopping = stop_event(signal.SIGHUP)
            say("the server stays up until Ctrl-C")
            stopping.wait()
    say(
        f"in all {time.monotonic() - began:.1f} s. To look again: "
        f"{HOME_VARIABLE}={folder / 'home'} wildloop up --workdir {project}"
    )
    if faults:
        fail(f"the demo fell short: {'; '.join(faults)}; logs: {folder / 'home' / 'logs'}")


def verdict(session: Session) -> list[str]:
    """What falls short of a good demo; empty if nothing does."""
    faults = []
    if session.is_active:
        faults.append(f"the session was still in phase {session.phase.value} at the time limit")
    elif session.status is not SessionStatus.COMPLETED:
        faults.append(f"the session ended as {session.status.value}: {session.error}")
    if session.runs.completed < FEWEST_RUNS:
        faults.append(f"{session.runs.completed} runs finished, not {FEWEST_RUNS}")
    if session.best is None or session.baseline is None:
        faults.append("there is no best or no baseline result")
    elif session.gain is None or not session.gain.established:
        faults.append("nothing is shown to beat the baseline")
    if not session.report_path or not Path(session.report_path).is_file():
        faults.append("there is no report")
    return faults


def conclude(session: Session, project: Path, seconds: float, faults: list[str]) -> None:
    """Say what came of it and where to look."""
    commits = git(project, "rev-list", "--count", session.branch or "HEAD").strip()
    runs = session.runs
    say("")
    say(f"{'short of its goal' if faults else 'done'} in {seconds:.1f} s: {session.status.value}")
    if session.target:
        say(f"  target     {session.target}")
    say(f"  result     {best_text(session)}")
    say(f"  runs       {runs.completed} finished, {runs.failed} failed, {runs.canceled} stopped")
    say(f"  iterations {session.iteration}, commits {commits} on {session.branch}")
    if session.report_path:
        say(f"  report     {session.report_path}")
        say(f"  page       {Path(session.report_path).with_name('report.html')}")


def prepare_project(target: Path) -> Path:
    """Copy examples/digits and make it a git repository with a first commit."""
    source = importlib.resources.files("wildloop.examples") / "digits"
    with importlib.resources.as_file(source) as folder:
        ignored = shutil.ignore_patterns("__pycache__", ".wild", "*.pyc")
        shutil.copytree(folder, target, ignore=ignored)
    git(target, "init", "--quiet", "--initial-branch=main")
    git(target, "add", "--all")
    identity = ["-c", "user.name=Wildloop demo", "-c", "user.email=wildloop@localhost"]
    git(target, *identity, "commit", "--quiet", "--message", "Digits: the starting point")
    return target


def git(folder: Path, *arguments: str) -> str:
    """Run git; its fault ends the demo."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        fail(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def running_server(home: Path, project: Path, slots: int) -> Iterator[ApiClient]:
    """A `wildloop up` of our own, stopped at the end, however it comes."""
    home.mkdir(parents=True)
    port, prefect_port = free_ports(2)
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("PREFECT_") and key not in (TOKEN_VARIABLE, SERVER_URL_VARIABLE)
    }
    env[HOME_VARIABLE] = str(home)
    # `python` of the runs is this interpreter: it has what the example imports.
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    command = own_command("wildloop", "up", "--port", str(port))
    command += ["--prefect-port", str(prefect_port), "--workdir", str(project)]
    command += ["--slots", str(slots)]
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        with Console().status("starting Prefect server, worker and API"):
            wait_for_ready(process, home / "up.log")
        os.environ[HOME_VARIABLE] = str(home)
        os.environ[TOKEN_VARIABLE] = ensure_token(home).get_secret_value()
        yield ApiClient(f"http://127.0.0.1:{port}")
    except ClientError as error:
        fail(f"{error}; logs: {home / 'logs'}")
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for_ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait for the line that `up` prints when all answer."""
    deadline = time.monotonic() + START_SECONDS
    while READY not in log.read_text(encoding="utf-8", errors="replace"):
        if process.poll() is not None or time.monotonic() > deadline:
            fail(f"`wildloop up` did not get ready: {log.read_text(encoding='utf-8')[-2000:]}")
        time.sleep(0.1)


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    typer.echo(text)
    sys.stdout.flush()
