"""The tables on a session's page: what was tried, the best first, and what was kept of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.logging import get_logger

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.keep.ledger import row_of
from wildloop.flows.models.keep import KeepStatus, Verdict
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.session.position import Position
from wildloop.flows.store.base import flow_run_url
from wildloop.flows.store.naming import LEADERBOARD, LEDGER
from wildloop.flows.text.markdown import link
from wildloop.flows.text.plural import counted
from wildloop.flows.text.shortened import shortened

MOST_ROWS = 30
CELL = 100
DESCRIBED = 200

logger = get_logger("wildloop.tables")


async def publish(position: Position, account: Account) -> None:
    """Bring leaderboard and ledger up to date; a fault is logged: it stands elsewhere as well."""
    try:
        rows = leaderboard(account, changes_of(position.record.iterations))
        title = f"{counted(len(account.configurations), 'configuration')} tried"
        shown = position.whole.shown
        said = f"{title}: {shown.headline}" if shown is not None else title
        await position.tables.write(position.key(LEADERBOARD), rows, said[:DESCRIBED])
    except Exception:
        logger.exception("the leaderboard of session %s was not written", position.id)
    await publish_ledger(position)


async def publish_ledger(position: Position) -> None:
    """As `publish`, the ledger alone."""
    verdicts = position.whole.keep.verdicts
    try:
        kept = sum(one.status is KeepStatus.KEEP for one in verdicts)
        said = f"{counted(len(verdicts), 'change')} decided upon, {kept} kept: {position.spec.goal}"
        await position.tables.write(position.key(LEDGER), ledger(verdicts), said[:DESCRIBED])
    except Exception:
        logger.exception("the ledger of session %s was not written", position.id)


def changes_of(calls: Sequence[IterationRecord]) -> dict[str, str]:
    """What each call's agent says that it changed, by the call's label."""
    return {
        call.label: f"{call.change.kind.value}: {call.change.text}"
        for call in calls
        if call.change is not None
    }


def leaderboard(account: Account, changes: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """The configurations of a session, the best by the metric first, the baseline always there.

    Args:
        account: of the session.
        changes: as of `changes_of`; where it has any, a column tells what was changed.
    """
    sign = -1.0 if account.direction == "max" else 1.0

    def place(one: Configuration) -> tuple[bool, float]:
        return one.mean is None, sign * (one.mean or 0.0)

    ordered = sorted(account.configurations, key=place)
    shown = [
        (number, one)
        for number, one in enumerate(ordered, 1)
        if number <= MOST_ROWS or one is account.baseline
    ]
    return [_row(account, number, one, changes or {}) for number, one in shown]


def _row(
    account: Account, number: int, one: Configuration, changes: Mapping[str, str]
) -> dict[str, Any]:
    found, first = account.comparisons.get(one.id), one.runs[0]
    change = changes.get(one.calls.get(first.id, ""), "")
    told = {"change": shortened(change, CELL)} if changes else {}
    return {
        "#": number,
        account.contract.metric.name if account.contract.metric else "value": one.score,
        "on the baseline": "" if found is None else f"{found.gain:+.4g}",
        "evidence": one.level.value if one.n else "",
        "standing": account.standing(one).value,
        **told,
        "configuration": shortened(one.name, CELL),
        "first run": link(first.name, flow_run_url(first.id)),
        "runs": len(one.runs),
        "p": "" if found is None or found.p is None else f"{found.p:.2g}",
    }


def ledger(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """What was decided about each change, the last first."""
    return [_decision(one) for one in list(reversed(verdicts))[:MOST_ROWS]]


def _decision(verdict: Verdict) -> dict[str, Any]:
    row = row_of(verdict)
    return {
        "iteration": row.iteration,
        "decision": row.status.value,
        verdict.metric or "value": "" if row.metric is None else f"{row.metric:.5g}",
        "gain": "" if row.gain is None else f"{row.gain:+.4g}",
        "p": "" if row.p is None else f"{row.p:.2g}",
        "evidence": row.level,
        "change": shortened(row.description, CELL),
        "why": shortened(row.why, CELL),
        "commit": row.commit,
        "tag": row.tag,
    }
