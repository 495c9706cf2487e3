"""A session's prompts over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from wildloop.flows.loop.preview import show_prompt
from wildloop.flows.models.prompt_view import PromptView
from wildloop.flows.prompt.kind import Kind
from wildloop.shim.apart import READ
from wildloop.shim.deps import Sessions, WithPrefect, WithSettings
from wildloop.shim.errors import RESPONSES

router = APIRouter(prefix="/wild/v2/prompt", tags=["wild"], responses=RESPONSES)


@router.get(
    "/{session_id}", summary="A prompt of a session, with tokens by part", openapi_extra=READ
)
async def get_prompt(
    session_id: str,
    sessions: Sessions,
    client: WithPrefect,
    settings: WithSettings,
    iteration: Annotated[int | None, Query(ge=0, le=100_000)] = None,
    kind: Kind | None = None,
) -> PromptView:
    """With `iteration` as it was sent; without, the next one as it would be sent now."""
    session = await sessions.find(session_id)
    return await show_prompt(client, settings, session.session_id, iteration, kind)
