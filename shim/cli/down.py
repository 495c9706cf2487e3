"""`wildloop down`: stops a server from another terminal."""

import os
import signal
from typing import Annotated

import typer

from wildloop.flows.settings import wildloop_home
from wildloop.shim.cli.output import fail
from wildloop.shim.going_on import going_on, last_url
from wildloop.shim.lock import holder_of, wait_until_free

STOP_SECONDS = 120.0


def down(
    agents: Annotated[
        bool,
        typer.Option(
            "--agents",
            help="End the agents too, which cost; their sessions go on at the next `up`.",
        ),
    ] = False,
) -> None:
    """Stop the server of this WILDLOOP_HOME; experiments go on, and agents unless --agents."""
    home = wildloop_home()
    lock, url = home / "run" / "lock", last_url(home)
    pid = holder_of(lock)
    if pid is None:
        typer.echo(f"no `wildloop up` runs on {home}")
    else:
        os.kill(pid, signal.SIGTERM)
        if not wait_until_free(lock, STOP_SECONDS):
            fail(f"`wildloop up` (pid {pid}) still runs after {STOP_SECONDS:g} s: see {home}/logs")
        typer.echo(f"stopped `wildloop up` (pid {pid})")
    if url is None:
        return
    left = going_on(url)
    if agents:
        for session in left.end_agents():
            typer.echo(f"ended the agent of session {session[:8]}")
        left = going_on(url)
    for line in left.lines():
        typer.echo(line)
