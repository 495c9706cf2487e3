"""A link to the page that logs its user in, over HTTP."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from wildloop.shim.errors import RESPONSES
from wildloop.shim.page.access import CODE_SECONDS, PageAccess

router = APIRouter(prefix="/wild/v2", tags=["health"], responses=RESPONSES)


class PageLink(BaseModel):
    """Answer of `POST /wild/v2/page-link`."""

    path: str = Field(description="To be opened on this server: good once.")
    seconds: int = Field(description="How long it is good.")


@router.post("/page-link", summary="Make a link that opens the page, once")
async def make_page_link(request: Request) -> PageLink:
    """Whoever opens it first is logged in to the page; the token is not in it. For the user."""
    access: PageAccess = request.app.state.page_access
    return PageLink(path=f"/page/enter?code={access.new_code()}", seconds=CODE_SECONDS)
