"""Whether the API answers."""

from fastapi import APIRouter

from shim.models import Health
from shim.version import VERSION

router = APIRouter(tags=["health"])


@router.get("/health", summary="Whether the API answers")
async def health() -> Health:
    """Answers 200 as soon as the API serves; needs no token."""
    return Health(version=VERSION)
