"""A session's evidence over HTTP."""

from fastapi import APIRouter

from wildloop.flows.models.evidence import AccountView
from wildloop.flows.store.account import read_evidence
from wildloop.shim.apart import READ
from wildloop.shim.deps import Runs, Sessions
from wildloop.shim.errors import RESPONSES

router = APIRouter(prefix="/wild/v2/evidence", tags=["wild"], responses=RESPONSES)


@router.get("/{session_id}", summary="What a session has shown, and by what", openapi_extra=READ)
async def get_evidence(session_id: str, sessions: Sessions, runs: Runs) -> AccountView:
    """The whole account: configurations with their files, runs and seeds; comparisons; verdicts.

    Status, prompts, ledger and report are rendered from the same account.
    """
    session = await sessions.find(session_id)
    return await read_evidence(sessions, runs, session)
