"""Evolutionary sweeps over HTTP."""

from fastapi import APIRouter

from wildloop.flows.models.evo_sweep import EvoSweepRecord, EvoSweepStop
from wildloop.shim.apart import OWN, READ
from wildloop.shim.deps import EvoSweeps, Sessions
from wildloop.shim.errors import RESPONSES

router = APIRouter(prefix="/wild/v2/evo-sweep", tags=["wild"], responses=RESPONSES)


@router.get("/{session_id}", summary="A session's evolutionary sweep", openapi_extra=READ)
async def get_evo_sweep(session_id: str, sessions: Sessions, sweeps: EvoSweeps) -> EvoSweepRecord:
    """The one under way, or the last: its trials, its best and its state. 404 before the first."""
    session = await sessions.find(session_id)
    return (await sweeps.get(session.session_id)).seen(session.is_active)


@router.post("/{session_id}/stop", summary="Stop a session's evolutionary sweep", openapi_extra=OWN)
async def stop_evo_sweep(
    session_id: str, sessions: Sessions, sweeps: EvoSweeps, body: EvoSweepStop | None = None
) -> EvoSweepRecord:
    """No further trial; its waiting runs are stopped, its running ones too with `runs: stop`."""
    session = await sessions.find(session_id)
    return await sweeps.stop(
        session.session_id, body or EvoSweepStop(), session_is_active=session.is_active
    )
