"""`wildloop compare`: two runs beside one another."""

import json
from typing import Annotated, Any

import typer

from wildloop.flows.models.comparison import ComparedValue
from wildloop.shim.cli.output import print_json
from wildloop.shim.cli.research import Json
from wildloop.shim.cli.server import server
from wildloop.shim.cli.table import print_table


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN", help="Run id or its beginning.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="The other run.")],
    diff: Annotated[bool, typer.Option("--diff", help="The difference of the code too.")] = False,
    as_json: Json = False,
) -> None:
    """Show what differs between two runs: command, parameters, code, environment, metrics."""
    client = server()
    found = client.comparison(client.full_id("run", first), client.full_id("run", second))
    if as_json:
        print_json(found)
        return
    shown = found.shown()
    if shown:
        names = (f"{one.name} ({one.id[:8]})" for one in (found.first, found.second))
        print_table(("what", *names), [_row(one) for one in shown])
    if len(shown) < len(found.differing):
        typer.echo(f"and {len(found.differing) - len(shown)} more (--json shows all)")
    same = "one configuration" if found.is_same_configuration else "two configurations"
    typer.echo(f"They are of {same}.")
    if found.code.note:
        typer.echo(f"Code: {found.code.note}")
    if found.code.command:
        typer.echo(f"\n$ {found.code.command}\n{found.code.diff if diff else found.code.stat}")
    if diff and found.code.is_cut:
        typer.echo("(cut: the command above shows all)")


def _row(one: ComparedValue) -> tuple[str, str, str]:
    what = one.group if one.group == one.name else f"{one.group}: {one.name}"
    return what, _told(one.first), _told(one.second)


def _told(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    return value if isinstance(value, str) else json.dumps(value)
