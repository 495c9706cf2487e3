"""`wildloop approve`: the answer that a cautious session waits for."""

from typing import Annotated

import typer

from wildloop.flows.models.alert import APPROVE, REJECT, AlertKind
from wildloop.shim.cli.here import All, Project, session_here
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.research import Json, SessionId
from wildloop.shim.cli.server import server


def approve(
    session: SessionId = None,
    reject: Annotated[
        str | None, typer.Option(help="Say no, and why: a rejected plan is written anew.")
    ] = None,
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
) -> None:
    """Approve what a session asks for: its plan, or a change that is to be kept."""
    if reject is not None and not reject.strip():
        fail("--reject takes the reason: it is what the agent is told", 2)
    client = server()
    found = session_here(client, session, project, everywhere)
    asked = [one for one in client.alerts(found.session_id) if one.kind is AlertKind.APPROVAL]
    if not asked:
        fail(f"session {found.session_id[:8]} asks for no approval now ({found.phase.value})")
    choice = APPROVE if reject is None else REJECT
    for alert in reversed(asked):
        answered = client.answer(alert.id, choice, reject)
        if as_json:
            print_json(answered)
        else:
            typer.echo(f"{alert.message}\n\n{'approved' if reject is None else 'rejected'}")
