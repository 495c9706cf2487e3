"""What is going on now, and the buttons that steer it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from pydantic import ValidationError

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.alert import AlertReply
from wildloop.flows.models.session import SteerCommand
from wildloop.flows.models.session_options import Budget, SessionStart
from wildloop.flows.store.use import read_uses
from wildloop.shim.deps import (
    Alerts,
    ClusterAccess,
    Runs,
    Sessions,
    WithDisks,
    WithSettings,
    WithWaits,
)
from wildloop.shim.page.courses import courses_of
from wildloop.shim.page.feed import Feed
from wildloop.shim.page.forms import read_form
from wildloop.shim.page.guard import PREFIX
from wildloop.shim.page.live import COMPUTE, NOW, RUNS, SESSION, regions, set_mark
from wildloop.shim.page.look import Looker
from wildloop.shim.page.render import page, render
from wildloop.shim.routers import wild

router = APIRouter()
Verb = Literal["pause", "resume", "stop", "steer"]
DONE: dict[Verb, str] = {
    "pause": "Asked to pause: its agent is ended, its runs go on.",
    "resume": "Asked to go on.",
    "stop": "Asked to stop.",
    "steer": "Told: the agent reads it in its next prompt.",
}
WATCHED = {"now": (NOW, SESSION), "compute": (COMPUTE,), "runs": (RUNS,)}


async def get_feed(
    request: Request,
    sessions: Sessions,
    runs: Runs,
    alerts: Alerts,
    cluster: ClusterAccess,
    disks: WithDisks,
    limits: WithWaits,
) -> Feed:
    """The app's one feed, made by whoever comes first."""
    state = request.app.state
    if state.page_feed is None:
        looker = Looker(sessions, runs, alerts, cluster, disks, limits)
        state.page_feed = Feed(looker.look, regions, lambda: state.picture.heard)
    feed: Feed = state.page_feed
    return feed


WithFeed = Annotated[Feed, Depends(get_feed)]


@router.get("/")
async def now(request: Request, feed: WithFeed, settings: WithSettings) -> Response:
    """The page to look at in the night."""
    values = {
        "look": await feed.latest(),
        "workdir": str(settings.workdir),
        "set_mark": set_mark,
    }
    return page(request, "now.html.j2", values)


@router.get("/part/sessions")
async def sessions_part(feed: WithFeed) -> Response:
    """The cards of the sessions, which their set's change asks for."""
    return HTMLResponse(render("part/sessions.html.j2", {"look": await feed.latest()}))


@router.get("/compute")
async def compute(request: Request, feed: WithFeed) -> Response:
    """Hosts, devices and the queue."""
    return page(request, "compute.html.j2", {"look": await feed.latest()})


@router.get("/compute/use")
async def use(cluster: ClusterAccess) -> Response:
    """How each host was used over the night."""
    told = [courses_of(one) for one in await read_uses(cluster.client)]
    hosts = [one for one in told if one is not None]
    return HTMLResponse(render("part/use.html.j2", {"hosts": hosts}))


@router.get("/events")
async def events(
    feed: WithFeed, of: Annotated[str, Query(pattern=r"^(now|compute|runs|session:[\w-]+)$")]
) -> StreamingResponse:
    """What changes on one of the pages, as server-sent events."""
    kind, _, id = of.partition(":")
    prefixes = WATCHED[kind] if not id else (f"{SESSION}{id}",)
    return StreamingResponse(
        feed.events(prefixes),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.post("/sessions/{session_id}/{verb}")
async def command(
    request: Request, session_id: str, verb: Verb, sessions: Sessions, feed: WithFeed
) -> Response:
    """Pause, resume, stop or steer a session."""
    form = await read_form(request)
    found = await sessions.find(None, session_id)
    if verb == "steer":
        try:
            said = SteerCommand(context=form.get("context", ""))
        except ValidationError as error:
            raise InvalidRequest("Write what the agent is to know.") from error
        await sessions.steer(found.session_id, said.context)
    elif verb == "stop":
        await sessions.stop(found.session_id, "stop" if form.get("runs") == "stop" else "keep")
    elif verb == "pause":
        await sessions.pause(found.session_id)
    else:
        await sessions.resume(found.session_id)
    feed.poke()
    return said_so(request, DONE[verb], f"{PREFIX}/sessions/{found.session_id}")


@router.post("/alerts/{alert_id}")
async def answer(request: Request, alert_id: str, alerts: Alerts, feed: WithFeed) -> Response:
    """Answer an alert by one of its choices."""
    form = await read_form(request)
    try:
        reply = AlertReply(
            choice=form.get("choice", ""), reason=form.get("reason", "").strip() or None
        )
    except ValidationError as error:
        raise InvalidRequest("choice: choose one of the alert's, in a few words") from error
    done = await alerts.respond(alert_id, reply.choice, reply.reason)
    feed.poke()
    return said_so(request, f"Answered: {done.choice}. {done.effect or ''}", f"{PREFIX}/")


@router.post("/start")
async def start(request: Request, sessions: Sessions, feed: WithFeed) -> Response:
    """Start a session by the few options of the form."""
    form = {name: text.strip() for name, text in (await read_form(request)).items()}
    numbers = {name: form[name] for name in ("hours", "cost_usd", "runs") if form.get(name)}
    names = ("goal", "workdir", "agent", "autonomy_level")
    given = {name: form[name] for name in names if form.get(name)}
    if form.get("max_iterations"):
        given["max_iterations"] = form["max_iterations"]
    try:
        body = SessionStart.model_validate({**given, "budget": Budget.model_validate(numbers)})
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise InvalidRequest("; ".join(faults)) from error
    made = await wild.start_session(body, sessions)
    feed.poke()
    to = f"{PREFIX}/sessions/{made.session_id}"
    if "hx-request" in request.headers:
        return Response(headers={"HX-Redirect": to})
    return RedirectResponse(to, 303)


def said_so(request: Request, text: str, back: str) -> Response:
    """What came of a form: a note where the page stays, else the page it goes back to."""
    if "hx-request" in request.headers:
        return HTMLResponse(render("part/notice.html.j2", {"text": text, "is_fault": False}))
    return RedirectResponse(back, 303)
