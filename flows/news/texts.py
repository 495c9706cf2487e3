"""What people are told of a session, in words: of the account's sentences, nothing is computed."""

from collections.abc import Sequence
from datetime import datetime

from wildloop.flows.models.alert import Alert, AlertStatus
from wildloop.flows.models.digest import Digest, SessionDigest
from wildloop.flows.models.evidence import Level
from wildloop.flows.models.session import Session, SessionStatus

GOAL_LENGTH = 160
LINE_LENGTH = 240
SHOWN_ALERTS = 3


def session_digest(session: Session, alerts: Sequence[Alert]) -> SessionDigest:
    """A session as people are told of it.

    Args:
        session: as it stands.
        alerts: its own, newest first.
    """
    is_better = session.best is not None and session.gain is not None
    opened = [one for one in alerts if one.status is AlertStatus.OPEN]
    return SessionDigest(
        session_id=session.session_id,
        goal=session.goal,
        workdir=session.workdir,
        status=session.status,
        iteration=session.iteration,
        max_iterations=session.max_iterations,
        started_at=session.started_at,
        finished_at=session.finished_at,
        verdict=session.verdict,
        headline=session.headline,
        level=session.best.level if session.best is not None and is_better else None,
        target=session.target,
        sealed=session.sealed.lines(session.contract.metric or "value") if session.sealed else [],
        best=session.best,
        baseline=session.baseline,
        runs=session.runs,
        own_runs=session.own_runs,
        spent=session.spent,
        alerts=[alert_line(one) for one in alerts],
        open_alerts=len(opened),
        look_at=look_at(session, opened),
        branch=session.branch,
        ui_url=session.ui_url,
    )


def look_at(session: Session, opened: Sequence[Alert]) -> list[str]:
    """What of a session wants a person, the most pressing first."""
    found = []
    if session.error:
        found.append(f"it failed: {short(session.error)}")
    if session.status is SessionStatus.PAUSED:
        found.append("it is paused: `wildloop resume` lets it go on")
    if session.unmeasured:
        found.append(short(session.unmeasured))
    found += [f"open alert, {alert_line(one)}" for one in opened[:SHOWN_ALERTS]]
    if session.breaches:
        found.append(
            f"{session.breaches} breaches of the rules; the last: {short(session.last_breach)}"
        )
    if session.best is not None and session.gain is not None:
        if session.best.level is Level.CLAIMED:
            found.append("its best is no more than claimed: see why in the report")
        elif session.best.level is Level.MEASURED:
            found.append(
                f"its best is not confirmed: `wildloop verify {session.session_id}` does it"
            )
    found += [f"looks better, undecided: {short(text)}" for text in session.candidates]
    if session.runs.failed:
        found.append(f"{session.runs.failed} runs failed: the report has them by cause")
    return found


def session_lines(found: SessionDigest) -> list[str]:
    """A session in a few lines of Markdown."""
    lines = [f"- status: {_status(found)}"]
    if found.verdict:
        lines.append(f"- **{found.verdict}**")
    if found.headline:
        lines.append(f"- result: {found.headline}")
    if found.target:
        lines.append(f"- {found.target}")
    lines += [f"- {text}" for text in found.sealed]
    lines.append(f"- runs: {_runs(found)}")
    lines.append(f"- cost: {_cost(found)}")
    if found.alerts:
        more = f" and {len(found.alerts) - SHOWN_ALERTS} more" * (len(found.alerts) > SHOWN_ALERTS)
        lines.append(
            f"- alerts: {len(found.alerts)}, {found.open_alerts} open: "
            + "; ".join(found.alerts[:SHOWN_ALERTS])
            + more
        )
    lines += [f"- look at: {text}" for text in found.look_at]
    if found.branch:
        lines.append(f"- branch: {found.branch} in {found.workdir}")
    if found.ui_url:
        lines.append(f"- Prefect: {found.ui_url}")
    lines.append(
        f"- report: `wildloop report {found.session_id}`, the page with plots by `--html FILE`"
    )
    return lines


def digest_text(digest: Digest) -> str:
    """A digest as it is sent."""
    lines = []
    for one in digest.sessions:
        lines += [f"## {short(one.goal, GOAL_LENGTH)}", "", *session_lines(one), ""]
    if not digest.sessions:
        lines += [
            f"No session was at work since {moment(digest.since)}. `wildloop nightly status` says "
            "what starts and when, `wildloop doctor` what is wrong with the machine.",
            "",
        ]
    if digest.other_alerts:
        lines += ["## Alerts of other runs", ""]
        lines += [f"- {text}" for text in digest.other_alerts[:SHOWN_ALERTS]]
        if (more := len(digest.other_alerts) - SHOWN_ALERTS) > 0:
            lines.append(f"- and {more} more")
    return "\n".join(lines).rstrip() + "\n"


def digest_title(digest: Digest) -> str:
    """A digest in a line."""
    sessions = digest.sessions
    if not sessions:
        return f"Wildloop: no session since {moment(digest.since)}"
    words = [one.status.value for one in sessions]
    parts = [
        f"{words.count(status.value)} {status.value}"
        for status in SessionStatus
        if status.value in words
    ]
    better = sum(one.level is not None for one in sessions)
    parts += [f"{better} better than the baseline"] * bool(better)
    parts += ["alerts open"] * any(one.open_alerts for one in sessions)
    count = f"{len(sessions)} session{'s' if len(sessions) > 1 else ''}"
    return f"Wildloop: {count} since {moment(digest.since)}: {', '.join(parts)}"


def alert_line(alert: Alert) -> str:
    """An alert in a line."""
    return f"{alert.kind.value}: {short(alert.message)}"


def moment(at: float) -> str:
    """A time by this machine's clock."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M")


def short(text: str, length: int = LINE_LENGTH) -> str:
    """A text in one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _status(found: SessionDigest) -> str:
    text = f"{found.status.value}, iteration {found.iteration} of at most {found.max_iterations}"
    if found.started_at is not None:
        text += f", began {moment(found.started_at)}"
    if found.finished_at is not None:
        text += f", ended {moment(found.finished_at)}"
    return text


def _runs(found: SessionDigest) -> str:
    runs = found.runs
    text = f"{runs.total}: {runs.completed} finished, {runs.failed} failed, {runs.canceled} stopped"
    if going := runs.total - runs.completed - runs.failed - runs.canceled:
        text += f", {going} not over"
    return text + (f"; {found.own_runs} more by Wildloop itself" if found.own_runs else "")


def _cost(found: SessionDigest) -> str:
    spent = found.spent
    parts = [f"{spent.hours:.2f} h"]
    if spent.cost_usd:
        parts.append(f"${spent.cost_usd:.2f}" + " (by list prices)" * spent.cost_is_estimate)
    if spent.gpu_hours:
        parts.append(f"{spent.gpu_hours:.2f} slot-hours")
    if spent.core_hours:
        parts.append(f"{spent.core_hours:.2f} core-hours")
    return ", ".join(parts)
