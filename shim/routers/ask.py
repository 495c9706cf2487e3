"""Questions to a session over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from wildloop.flows.models.answer import Answer, AnswerList, Question
from wildloop.shim.apart import READ
from wildloop.shim.deps import Runs, Sessions
from wildloop.shim.errors import RESPONSES
from wildloop.shim.questions import Questions

router = APIRouter(prefix="/wild/v2/ask", tags=["wild"], responses=RESPONSES)


async def get_questions(request: Request) -> Questions:
    """The app's questions under way."""
    found: Questions = request.app.state.questions
    return found


WithQuestions = Annotated[Questions, Depends(get_questions)]


@router.post("/{session_id}", summary="Ask a session's agent something", status_code=202)
async def ask_session(
    session_id: str, body: Question, sessions: Sessions, runs: Runs, questions: WithQuestions
) -> Answer:
    """For the user alone: one call of the agent on a copy of the record, which costs no iteration.

    Read the answer by `GET /wild/v2/ask/{session_id}`; its cost is counted in what the session has
    spent. 409 where the agent cannot be called, or is answering another question.
    """
    return await questions.ask(sessions, runs, session_id, body.question)


@router.get("/{session_id}", summary="What was asked of a session", openapi_extra=READ)
async def list_answers(session_id: str, sessions: Sessions, questions: WithQuestions) -> AnswerList:
    """Questions with their answers, oldest first; of very many the last hundred."""
    return await questions.read(sessions.client, await sessions.id_of(session_id))
