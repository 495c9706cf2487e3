"""One call of a session's agent that answers a question and changes nothing."""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from wildloop.blocks.agents.base import Agent, AgentReply, AgentRequest, AgentUnavailable
from wildloop.blocks.agents.process import ProcessAgent
from wildloop.blocks.agents.registry import BASELINE
from wildloop.flows.ask.copy import RUNS, line_of, make_copy
from wildloop.flows.errors import Conflict
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.guards.isolation import session_agent
from wildloop.flows.models.run import Run
from wildloop.flows.models.session import Session
from wildloop.flows.project import load_project
from wildloop.flows.session.agent_token import agent_token
from wildloop.flows.settings import SERVER_URL_VARIABLE, TOKEN_VARIABLE, Settings

LOG_CHARACTERS = 16_000
SHOWN_RUNS = 60
LONGEST_SECONDS = 900.0
# The token of a session that there is not: whatever it is shown to is refused.
NOBODY = str(UUID(int=0))
PROMPT = """\
# A question about a research session

The user asks you, the agent of this session, a question. Answer it from the record, in Markdown,
short and to the point: name iterations, runs and numbers, and say so where the record does not
tell. This folder is a copy of the session's last commit, thrown away after your answer: nothing
that you change is kept, no run can be started, and Wildloop's API refuses you. Do not work on the
plan, and use no tags such as <summary>: your answer is shown to the user as it is.

- Goal: {goal}
- Where it stands: {status}, iteration {iteration} of at most {most}. {headline}
- In this folder: the code; `{own}` with the plan (tasks.md), the log of all iterations
  (iteration_log.md) and what was kept and discarded (results.tsv); `{runs}`, a line for each of
  the {count} runs.

## The last runs

{lines}

## The end of iteration_log.md

{log}

## The question

{question}
"""


async def agent_to_ask(session: Session) -> Agent:
    """The session's agent, which can be called here.

    Raises:
        Conflict: it cannot, with the reason.
    """
    if session.agent == BASELINE:
        raise Conflict(
            "the built-in agent answers no questions: its reasons are in the report and the ledger"
        )
    workdir = Path(session.workdir)
    if not workdir.is_dir():
        raise Conflict(f"the project '{workdir}' is not on this server's host")
    try:
        project = await asyncio.to_thread(load_project, workdir)
        agent = await session_agent(session.agent, workdir, project)
        await agent.check(workdir)
    except AgentUnavailable as error:
        raise Conflict(f"the session's agent cannot be called: {error}") from error
    is_decided = project is not None and project.agent.sandbox is not None
    if isinstance(agent, ProcessAgent) and agent.isolation.mode == "off" and not is_decided:
        # It may write in the copy alone, where that can be had and the project has no say in it.
        agent.isolation = agent.isolation.model_copy(update={"mode": "auto"})
    return agent


async def ask(
    agent: Agent, session: Session, runs: Sequence[Run], question: str, settings: Settings
) -> AgentReply:
    """Have the agent answer in a copy of the session's last commit.

    Args:
        agent: of `agent_to_ask`.
        session: as it stands.
        runs: all its runs.
        question: what is asked.
        settings: the server's, whose address the agent's tools get, without a token that opens it.

    Raises:
        GitError: the session's commit cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="wildloop-ask-") as name:
        folder, record = Path(name, "project"), Path(name, "call")
        folder.mkdir()
        record.mkdir()
        await make_copy(session, runs, folder)
        env = {SERVER_URL_VARIABLE: settings.server_url, "WILDLOOP_PHASE": "ask"}
        if settings.token is not None:
            env[TOKEN_VARIABLE] = agent_token(settings.token.get_secret_value(), NOBODY)
        prompt = await asyncio.to_thread(question_prompt, session, runs, question)
        return await agent.run(
            AgentRequest(
                prompt=prompt,
                workdir=folder,
                env=env,
                timeout_seconds=LONGEST_SECONDS,
                record=record,
            )
        )


def question_prompt(session: Session, runs: Sequence[Run], question: str) -> str:
    """What the agent reads. Blocks."""
    paths = SessionPaths.of(session.workdir, session.session_id)
    log = paths.log.read_text("utf-8", "replace") if paths.log.is_file() else "(there is none)"
    last = sorted(runs, key=lambda run: run.created_at)[-SHOWN_RUNS:]
    shown = []
    for run in last:
        told = line_of(run)
        shown.append(f"- {told['name']}: {told['status']}, {told['parameters']}, {told['metrics']}")
    return PROMPT.format(
        goal=session.goal,
        status=session.status.value,
        iteration=session.iteration,
        most=session.max_iterations,
        headline=session.headline,
        own=paths.root.relative_to(session.workdir),
        runs=RUNS,
        count=len(runs),
        lines="\n".join(shown) or "(there is none)",
        log=log[-LOG_CHARACTERS:],
        question=question,
    )
