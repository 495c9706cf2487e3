"""Commands about what a session compares by."""

from typing import Annotated, Literal

import typer

from wildloop.flows.models.contract import ContractChange
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.research import Json, SessionId, SessionOption
from wildloop.shim.cli.server import server

app = typer.Typer(
    name="contract",
    help="What a session compares by: metric, direction, baseline command, evaluation.",
    no_args_is_help=True,
)


@app.command()
def show(session: SessionId = None, as_json: Json = False) -> None:
    """Show what a session compares by."""
    found = server().session(session)
    if as_json:
        print_json(found.contract)
        return
    for line in found.decides:
        typer.echo(line)


@app.command("set")
def set_contract(
    metric: Annotated[str | None, typer.Option(help="Name of the metric.")] = None,
    direction: Annotated[str | None, typer.Option(help="max or min.")] = None,
    target: Annotated[float | None, typer.Option(help="What is asked of the metric.")] = None,
    command: Annotated[str | None, typer.Option(help="The baseline command.")] = None,
    seed_parameter: Annotated[str | None, typer.Option(help="The parameter for the seed.")] = None,
    evaluate: Annotated[str | None, typer.Option(help="What gives the value of a run.")] = None,
    holdout: Annotated[str | None, typer.Option(help="What gives the sealed value.")] = None,
    session: SessionOption = None,
    as_json: Json = False,
) -> None:
    """Change what a session compares by; a new comparison begins."""
    word: Literal["max", "min"] | None = None
    if direction is not None:
        if direction not in ("max", "min"):
            fail(f"--direction takes max or min, not '{direction}'", 2)
        word = "min" if direction == "min" else "max"
    given = {
        "metric": metric,
        "direction": word,
        "target": target,
        "train": command,
        "seed_parameter": seed_parameter,
        "evaluate": evaluate,
        "holdout": holdout,
    }
    change = ContractChange.model_validate(
        {name: value for name, value in given.items() if value is not None}
    )
    if not change.model_fields_set:
        fail("nothing to change: give --metric, --direction, --target or the like", 2)
    client = server()
    id = client.session(session).session_id
    body = change.model_dump(mode="json", exclude_unset=True)
    found = client.request("PUT", f"/wild/v2/contract/{id}", json=body)
    if as_json:
        print_json(found)
        return
    more = ", taken up before its agent's next call" if found["is_active"] else ""
    typer.echo(f"session {id}: a new comparison begins{more}")
