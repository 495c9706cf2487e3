"""`wildloop ask`: a question to a session's agent."""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown

from wildloop.flows.models.answer import Answer, AnswerStatus
from wildloop.shim.cli.here import All, Project, session_here
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.research import Json, SessionOption
from wildloop.shim.cli.server import server
from wildloop.shim.client.api import ApiClient

FIRST_LOOK_S, LONGEST_LOOK_S = 0.3, 3.0


def ask(
    question: Annotated[str, typer.Argument(help="What you want to know of the session.")],
    session: SessionOption = None,
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
) -> None:
    """Ask a session's agent something: it answers from the record, and changes nothing."""
    if not question.strip():
        fail("say what you want to know", 2)
    client = server()
    found = session_here(client, session, project, everywhere)
    told = _answered(client, client.ask(found.session_id, question))
    if as_json:
        print_json(told)
    elif told.status is AnswerStatus.ANSWERED:
        Console(soft_wrap=False).print(Markdown(told.answer))
        if told.cost_usd is not None:
            about = " by list prices" if told.cost_is_estimate else ""
            typer.echo(f"(${told.cost_usd:.4f}{about})", err=True)
    if told.status is AnswerStatus.FAILED:
        fail(f"no answer: {told.error}")


def _answered(client: ApiClient, asked: Answer) -> Answer:
    pause, answer = FIRST_LOOK_S, asked
    while answer.status is AnswerStatus.ASKED:
        time.sleep(pause)
        pause = min(LONGEST_LOOK_S, 1.5 * pause)
        every = client.answers(asked.session_id).answers
        answer = next((one for one in every if one.id == asked.id), asked)
    return answer
