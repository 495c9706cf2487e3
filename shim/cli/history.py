"""`wildloop show`: what one iteration did."""

from typing import Annotated

import typer

from wildloop.flows.models.history import IterationView
from wildloop.shim.cli.output import print_json
from wildloop.shim.cli.research import Json
from wildloop.shim.cli.server import server


def show(
    session: Annotated[str, typer.Argument(help="Session id or its beginning.")],
    iteration: Annotated[int, typer.Argument(min=0, help="Its number; 0 is planning.")],
    stat: Annotated[bool, typer.Option("--stat", help="Files and counts, not the diff.")] = False,
    as_json: Json = False,
) -> None:
    """Show what one iteration did: its log, its runs, and the change it made."""
    client = server()
    path = f"/wild/v2/iterations/{client.full_id('session', session)}/{iteration}"
    found = IterationView.model_validate(client.request("GET", path))
    if as_json:
        print_json(found)
        return
    typer.echo(found.log)
    for run in found.runs:
        metrics = ", ".join(f"{name}={value:.5g}" for name, value in list(run.metrics.items())[:6])
        typer.echo(f"run {run.id[:8]} {run.name}: {run.status.value} {metrics}".rstrip())
    change = found.difference
    if change.note:
        typer.echo(change.note)
    if change.command:
        typer.echo(f"\n$ {change.command}\n{change.stat if stat else change.diff}")
    if change.is_cut and not stat:
        typer.echo("(cut: the command above shows all)")
