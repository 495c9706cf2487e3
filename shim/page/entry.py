"""Logging in and out."""

from html import escape

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from wildloop.shim.page.access import COOKIE_SECONDS, PageAccess
from wildloop.shim.page.forms import read_form
from wildloop.shim.page.guard import LOGIN, PREFIX
from wildloop.shim.page.render import page

router = APIRouter()
HOME = f"{PREFIX}/"
# Of another site's making, a navigation carries no strict cookie, and what it redirects to neither:
# from a page of our own on, it does.
_ENTERED = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Wildloop</title>
<link rel="icon" href="data:,">
<meta http-equiv="refresh" content="0;url={home}"></head>
<body><p><a href="{home}">Go on to Wildloop</a></p></body></html>
"""


@router.get("/login")
async def login_form(request: Request) -> Response:
    """The form that asks for the token."""
    access = _access(request)
    if access.lets_in(request.cookies):
        return RedirectResponse(HOME, 303)
    return page(request, "login.html.j2", {"fault": ""})


@router.post("/login")
async def login(request: Request) -> Response:
    """Take the token, give the cookie."""
    access = _access(request)
    given = (await read_form(request)).get("token", "")
    if not access.is_open and not access.is_token(given):
        fault = "That is not this server's token."
        return page(request, "login.html.j2", {"fault": fault}, status_code=401)
    answer = RedirectResponse(HOME, 303)
    _let_in(answer, request)
    return answer


@router.get("/enter")
async def enter(request: Request, code: str = "") -> Response:
    """Log in by a link that is good once."""
    access = _access(request)
    if not access.is_open and not access.use_code(code):
        fault = "This link was used before, or is too old: ask for another by `wildloop open`."
        return page(request, "login.html.j2", {"fault": fault}, status_code=401)
    answer = HTMLResponse(_ENTERED.format(home=escape(HOME)))
    _let_in(answer, request)
    return answer


@router.post("/logout")
async def logout(request: Request) -> Response:
    """Take the cookie back."""
    answer = RedirectResponse(LOGIN, 303)
    answer.delete_cookie(_access(request).cookie_name, path=PREFIX)
    return answer


def _let_in(answer: Response, request: Request) -> None:
    access = _access(request)
    answer.set_cookie(
        access.cookie_name,
        access.new_cookie(),
        max_age=COOKIE_SECONDS,
        path=PREFIX,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def _access(request: Request) -> PageAccess:
    access: PageAccess = request.app.state.page_access
    return access
