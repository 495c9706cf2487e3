"""Confirming by hand over HTTP: for the user alone."""

from fastapi import APIRouter

from wildloop.flows.models.verify import Verification, VerifiedSide, VerifyRequest
from wildloop.flows.store.verify import verification, verify
from wildloop.shim.apart import READ
from wildloop.shim.deps import Runs, Sessions
from wildloop.shim.errors import RESPONSES

router = APIRouter(prefix="/wild/v2/verify", tags=["wild"], responses=RESPONSES)


@router.post("", summary="Run a configuration again, on fresh seeds", status_code=201)
async def begin_verification(body: VerifyRequest, sessions: Sessions, runs: Runs) -> Verification:
    """The best of a session, or the configuration of a run, and the baseline beside it."""
    return await verify(sessions, runs, body.id, body.seeds)


@router.get(
    "/{session_id}/{configuration}",
    summary="What Wildloop's own runs of a configuration say",
    openapi_extra=READ,
)
async def get_verification(
    session_id: str, configuration: str, sessions: Sessions, runs: Runs
) -> VerifiedSide:
    """Its level, its estimate and the comparison with the baseline."""
    return await verification(sessions, runs, session_id, configuration)
