"""The regions of the page that change by themselves, of one look."""

import hashlib

from wildloop.flows.models.session import Session
from wildloop.shim.page.look import Look
from wildloop.shim.page.render import render

NOW, COMPUTE, SESSION, RUNS = "now-", "compute", "session-", "runs-"


def regions(look: Look) -> dict[str, str]:
    """Each region's HTML by its name; those that are only a mark tell that something changed."""
    shown = look.shown_sessions
    found = {
        f"{NOW}top": render("part/top.html.j2", {"look": look}),
        f"{NOW}alerts": render("part/alerts.html.j2", {"look": look}),
        f"{NOW}set": set_mark(look),
        COMPUTE: render("part/compute.html.j2", {"look": look}),
        f"{RUNS}changed": runs_mark(look),
    }
    for one in shown:
        values = {"look": look, "session": one}
        found[f"{SESSION}{one.session_id}"] = render("part/session.html.j2", values)
        found[f"{SESSION}{one.session_id}-asks"] = render("part/asks.html.j2", values)
        found[f"{SESSION}{one.session_id}-changed"] = session_mark(one)
    return found


def set_mark(look: Look) -> str:
    """Another as soon as other sessions are shown."""
    return _mark([(one.session_id, one.is_active) for one in look.shown_sessions])


def runs_mark(look: Look) -> str:
    """Another as soon as a run begins, ends or is made."""
    counts = look.cluster.run_summary.model_dump()
    return _mark(counts, [(run.id, run.status) for run in look.active])


def session_mark(one: Session) -> str:
    """Another as soon as a session has got on."""
    return _mark(one.calls, one.status, one.phase, one.tasks.model_dump(), one.runs.model_dump())


def _mark(*values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]
