"""The questions to sessions that this process has answered: each is one call of an agent."""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from uuid import uuid4

from prefect.client.orchestration import PrefectClient

from wildloop.blocks.agents.base import Agent
from wildloop.blocks.agents.prices import Usage
from wildloop.flows.ask.ask import agent_to_ask, ask
from wildloop.flows.errors import Conflict, WildloopError
from wildloop.flows.models.answer import Answer, AnswerList, AnswerStatus
from wildloop.flows.models.run import Run
from wildloop.flows.models.session import Session
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.session.agent_token import tokens_of
from wildloop.flows.session.position import Position
from wildloop.flows.settings import Settings
from wildloop.flows.store.answers import keep_answer, read_answers
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.session_mapping import spec_of
from wildloop.flows.store.sessions import SessionStore
from wildloop.flows.text.redaction import Redactor

LOST = "the server was ended before the agent had answered: ask again"
# Beyond the agent's own time-out nobody can be at work on a question any more.
STALE_SECONDS = 1200.0

logger = logging.getLogger("wildloop.ask")


class Questions:
    """At most one question to a session at a time; a task of this process each."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(
        self, sessions: SessionStore, runs: RunStore, session_id: str, question: str
    ) -> Answer:
        """Begin to have a question answered; the answer is in `read` once it is there.

        Raises:
            NotFound: there is no such session.
            Conflict: its agent cannot be called, or is answering another question.
        """
        session = await sessions.find(None, session_id)
        agent = await agent_to_ask(session)
        id = session.session_id
        if id in self._tasks:
            raise Conflict(f"session '{id}' is answering a question: wait for that")
        answer = Answer(id=str(uuid4()), session_id=id, question=question, asked_at=time.time())
        # Before anything is awaited: a second question of this moment finds the first.
        self._tasks[id] = asyncio.create_task(self._answer(agent, session, sessions, runs, answer))
        return answer

    async def read(self, client: PrefectClient, session_id: str) -> AnswerList:
        """All questions to a session; one that nobody is at work on any more has failed."""
        told = await read_answers(client, session_id)
        oldest = time.time() - STALE_SECONDS
        return AnswerList(
            answers=[
                one.model_copy(update={"status": AnswerStatus.FAILED, "error": LOST})
                if one.status is AnswerStatus.ASKED and one.asked_at < oldest
                else one
                for one in told.answers
            ]
        )

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(
        self,
        agent: Agent,
        session: Session,
        sessions: SessionStore,
        runs: RunStore,
        answer: Answer,
    ) -> None:
        try:
            await keep_answer(sessions.client, answer)
            every = await runs.all(chat_session_id=session.session_id)
            done = await _answered(agent, session, every, answer, sessions.settings)
            told = await keep_answer(sessions.client, done)
            await _count(sessions, session.session_id, told)
        except asyncio.CancelledError:
            failed = {"status": AnswerStatus.FAILED, "error": LOST, "answered_at": time.time()}
            await keep_answer(sessions.client, answer.model_copy(update=failed))
            raise
        except WildloopError as error:
            failed = {"status": AnswerStatus.FAILED, "error": str(error)}
            await keep_answer(sessions.client, answer.model_copy(update=failed))
        except Exception as error:
            logger.exception("the question to session %s was not answered", session.session_id)
            told_error = f"internal error ({type(error).__name__}): see the server's log"
            failed = {"status": AnswerStatus.FAILED, "error": told_error}
            await keep_answer(sessions.client, answer.model_copy(update=failed))
        finally:
            self._tasks.pop(session.session_id, None)


async def _answered(
    agent: Agent, session: Session, runs: Sequence[Run], answer: Answer, settings: Settings
) -> Answer:
    reply = await ask(agent, session, runs, answer.question, settings)
    redactor = Redactor.of(os.environ, *tokens_of(settings, session.session_id))
    text = redactor(reply.text.strip())
    is_answered = reply.exit_reason == "finished" and bool(text)
    error = redactor(reply.error or "") or (None if is_answered else "the agent gave no answer")
    return answer.model_copy(
        update={
            "status": AnswerStatus.ANSWERED if is_answered else AnswerStatus.FAILED,
            "answer": text,
            "error": error,
            "answered_at": time.time(),
            "usage": Usage.model_validate(reply.usage) if reply.usage else None,
            "cost_usd": reply.cost_usd,
            "cost_is_estimate": reply.cost_is_estimate,
        }
    )


async def _count(sessions: SessionStore, session_id: str, told: AnswerList) -> None:
    """Have the cost in what a session has spent; one that goes on reads it by itself."""
    flow_run = await sessions.flow_run(session_id)
    if flow_run.state is None or not flow_run.state.is_final():
        return
    spec: SessionSpec = spec_of(flow_run)
    position = await Position.read(sessions.client, spec, session_id)
    position.record.asked_usd = told.cost_usd
    await position.save()
