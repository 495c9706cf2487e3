"""`wildloop service`: a server that begins with the machine."""

import os
from pathlib import Path
from typing import Annotated

import typer

from wildloop.flows.settings import DEFAULT_PORT, TOKEN_VARIABLE, wildloop_home
from wildloop.shim import service
from wildloop.shim.cli.output import fail
from wildloop.shim.home import open_home
from wildloop.shim.lock import holder_of

app = typer.Typer(
    name="service",
    help="Have the server begin with the machine (systemd, launchd).",
    no_args_is_help=True,
)


@app.command()
def install(
    workdir: Annotated[
        Path | None, typer.Option(help="Default folder of runs and sessions.", show_default="here")
    ] = None,
    host: Annotated[str, typer.Option(help="Address of the API.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the API.")] = DEFAULT_PORT,
    slots: Annotated[int | None, typer.Option(min=1, help="Runs at a time.")] = None,
    compute: Annotated[str, typer.Option(help="Where runs go, as for `up`.")] = "auto",
    show: Annotated[bool, typer.Option("--show", help="Print its file, set up nothing.")] = False,
) -> None:
    """Start `wildloop up` now and at each start of the machine, on this WILDLOOP_HOME."""
    folder, home = (workdir or Path.cwd()).expanduser().resolve(), wildloop_home()
    if not folder.is_dir():
        fail(f"--workdir '{folder}' does not exist: create it or give another")
    kind = service.kind_here()
    options = [f"--host={host}", f"--port={port}", f"--compute={compute}"]
    options += [f"--slots={slots}"] if slots else []
    wanted = service.Service.of(home, folder, options)
    if show:
        typer.echo((wanted.plist().decode() if kind == "launchd" else wanted.unit()).rstrip())
        return
    open_home(home)
    if os.environ.get(TOKEN_VARIABLE):
        typer.echo(f"Note: the service takes the token of {home}/token, not {TOKEN_VARIABLE}")
    if (pid := holder_of(home / "run" / "lock")) and not service.place_of(kind).exists():
        fail(f"`wildloop up` runs on {home} already (pid {pid}): `wildloop down` first")
    typer.echo(f"installed {service.install(kind, wanted)}; `wildloop doctor` says when it answers")
    if kind == "systemd":
        typer.echo("it starts at your login; before it, after `loginctl enable-linger`")


@app.command("status")
def show_status() -> None:
    """Say whether the service is installed, and runs."""
    typer.echo(service.status(service.kind_here()))


@app.command()
def remove() -> None:
    """Stop the service and remove it; experiments go on."""
    if not service.remove(service.kind_here()):
        fail("no service is installed")
    typer.echo("removed")
