"""`wildloop verify`: confirming by hand."""

import time
from typing import Annotated

import typer

from wildloop.flows.models.verify import Verification, VerifiedSide
from wildloop.shim.cli.output import print_json
from wildloop.shim.cli.research import Json
from wildloop.shim.cli.server import server
from wildloop.shim.client.api import ApiClient
from wildloop.shim.client.errors import ClientError

LOOK_SECONDS = 2.0


def verify(
    id: Annotated[str, typer.Argument(help="Session or run, or the beginning of its id.")],
    seeds: Annotated[int | None, typer.Option(min=1, max=100, help="How many fresh seeds.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until they have ended.")] = True,
    as_json: Json = False,
) -> None:
    """Run the best of a session, or a run's configuration, again on fresh seeds."""
    client = server()
    begun = Verification.model_validate(
        client.request("POST", "/wild/v2/verify", json={"id": _full_id(client, id), "seeds": seeds})
    )
    path = f"/wild/v2/verify/{begun.session_id}/{begun.configuration}"
    if not wait:
        if as_json:
            print_json(begun)
        else:
            typer.echo(f"{begun.label}: {len(begun.run_ids)} runs begin (GET {path})")
        return
    if not as_json:
        typer.echo(f"{begun.label}: {len(begun.run_ids)} runs, baseline included")
    while (found := VerifiedSide.model_validate(client.request("GET", path))).runs_left:
        time.sleep(LOOK_SECONDS)
    if as_json:
        print_json(found)
        return
    typer.echo(f"{found.level.value}: {found.estimate.text}")
    if found.comparison is not None:
        typer.echo(f"against the baseline: {found.comparison.why}")


def _full_id(client: ApiClient, id: str) -> str:
    try:
        return client.full_id("session", id)
    except ClientError:
        return client.full_id("run", id)
