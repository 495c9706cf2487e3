"""Whether the API answers, and whether it would take a run."""

from fastapi import APIRouter

from wildloop.flows.errors import Unavailable
from wildloop.shim.deps import WithReadiness, WithSettings
from wildloop.shim.errors import RESPONSES
from wildloop.shim.models import Health, Ready
from wildloop.shim.version import VERSION

router = APIRouter(tags=["health"])


@router.get("/health", summary="Whether the API answers")
async def health(settings: WithSettings, readiness: WithReadiness) -> Health:
    """Answers 200 as soon as the API serves, ready or not; needs no token."""
    fault = await readiness.fault()
    return Health(version=VERSION, workdir=str(settings.workdir), ready=fault is None, reason=fault)


@router.get("/ready", summary="Whether a run would be taken", responses={503: RESPONSES[503]})
async def ready(readiness: WithReadiness) -> Ready:
    """Answers 200 when Prefect answers and a worker is there, 503 with the reason until then.

    Needs no token.
    """
    if fault := await readiness.fault():
        raise Unavailable(fault)
    return Ready()
