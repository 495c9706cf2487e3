"""`wildloop prompt`: what the agent of a session reads."""

from typing import Annotated

import typer

from wildloop.flows.models.prompt_view import PromptView
from wildloop.shim.cli.output import print_json
from wildloop.shim.cli.research import Json
from wildloop.shim.cli.server import server


def prompt(
    session: Annotated[str, typer.Argument(help="Session id or its beginning.")],
    iteration: Annotated[
        int | None, typer.Argument(min=0, help="As it was sent; without it the next one.")
    ] = None,
    planning: Annotated[bool, typer.Option("--planning", help="The one of planning.")] = False,
    reflection: Annotated[
        bool, typer.Option("--reflection", help="The one of the reflection after it.")
    ] = False,
    tokens: Annotated[bool, typer.Option("--tokens", help="Only the tokens by part.")] = False,
    as_json: Json = False,
) -> None:
    """Show what the agent reads, with about how many tokens each part has."""
    if planning and reflection:
        raise typer.BadParameter("give --planning or --reflection, not both")
    client = server()
    query: dict[str, str | int] = {}
    if planning or reflection:
        query["kind"] = "planning" if planning else "reflection"
    if planning and iteration is None:
        iteration = 0
    if iteration is not None:
        query["iteration"] = iteration
    path = f"/wild/v2/prompt/{client.full_id('session', session)}"
    found = PromptView.model_validate(client.request("GET", path, params=query))
    if as_json:
        print_json(found)
        return
    if not tokens:
        typer.echo(found.prompt.rstrip() + "\n")
    word = "as it was sent" if found.is_sent else "as it would be sent now"
    typer.echo(f"--- {found.label}, {word}: about {sum(found.tokens.values())} tokens")
    for name, number in found.tokens.items():
        typer.echo(f"{number:6d}  {name}")
    if found.repeated is not None:
        typer.echo(f"{found.repeated:6.0%}  stood at the head of the prompt before")
