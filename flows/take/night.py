"""What a session has kept, from its record and the one account."""

from collections.abc import Sequence

from wildloop.flows.evidence import texts
from wildloop.flows.evidence.account import Account
from wildloop.flows.keep.decide import describe
from wildloop.flows.models.keep import KeepState, KeepStatus, Verdict
from wildloop.flows.models.session import Session
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.models.take import BestToRun, Idea, NightView
from wildloop.flows.report.reproduce import nearest
from wildloop.flows.store.account import session_account
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.sessions import SessionStore
from wildloop.flows.text.redaction import redact
from wildloop.flows.text.title import title_of

NOT_JUDGED = "not judged"
NO_VERDICT = "the session has judged no change (`--keep all`): this one stands as it was made"
SUMMARY_LENGTH = 2000
# `P1-T2: `, `[P1-T2] `, `**P1-T2**: `


async def read_night(sessions: SessionStore, runs: RunStore, session: Session) -> NightView:
    """What a session has kept so far, and what it has tried beside it."""
    account, _ = await session_account(sessions, runs, session)
    return night_of(session, await sessions.record(session.session_id), account)


def night_of(session: Session, record: SessionRecord, account: Account) -> NightView:
    """What is to be taken home of a session.

    Args:
        session: as the API shows it.
        record: its record.
        account: of its evidence.
    """
    judged = session.keep == "better"
    every = _judged(record, account) if judged else _unjudged(record, account)
    kept = [one for one in every if one.status in (KeepStatus.KEEP, NOT_JUDGED)]
    before = record.before
    return NightView(
        session_id=session.session_id,
        goal=redact(session.goal),
        workdir=session.workdir,
        status=session.status,
        is_active=session.is_active,
        keep=session.keep,
        metric=account.contract.metric.name if account.contract.metric else None,
        direction=account.direction,
        headline=redact(texts.headline(account)),
        branch=record.branch,
        is_own_branch=record.branch == f"wild/{session.session_id}",
        base_branch=before.branch if before else None,
        base_commit=record.base_commit,
        found=before.files if before and before.files != before.commit else None,
        ideas=kept,
        others=[one for one in every if one not in kept],
        left_in=_left_in(record.keep),
        best=_best(account),
        run_ids=[run.id for run in account.best.runs] if account.best else [],
    )


def _judged(record: SessionRecord, account: Account) -> list[Idea]:
    return [
        _of_verdict(one, _calls(record, one.iteration), account) for one in record.keep.verdicts
    ]


def _of_verdict(verdict: Verdict, calls: Sequence[IterationRecord], account: Account) -> Idea:
    seen, test = verdict.candidate, verdict.comparison
    now = account.by_id.get(seen.id) if seen is not None else None
    after = describe(seen) if seen is not None and seen.n else None
    today = now.compared.text if now is not None and now.compared.n else None
    declared = next((one.change.text for one in reversed(calls) if one.change), "")
    summary = verdict.description if verdict.description != "no summary" else ""
    return Idea(
        iteration=verdict.iteration,
        label=verdict.label,
        title=redact(title_of(summary or declared)),
        summary=redact(summary)[:SUMMARY_LENGTH],
        status=verdict.status.value,
        why=redact(verdict.why),
        metric=verdict.metric,
        before=describe(verdict.against) if verdict.against and verdict.against.n else None,
        after=after,
        now=today if today != after else None,
        p=test.p if test is not None else None,
        level=now.level if now is not None else seen.level if seen is not None else None,
        configuration=redact(seen.configuration) if seen is not None else "",
        run_ids=seen.run_ids if seen is not None else [],
        warnings=[redact(one) for one in verdict.warnings],
        # Of several researchers each has begun elsewhere: what came onto the branch is taken.
        base=verdict.onto or verdict.base,
        commit=verdict.merged or verdict.commit,
        tag=verdict.tag,
        at=verdict.decided_at or None,
    )


def _unjudged(record: SessionRecord, account: Account) -> list[Idea]:
    """The iterations of a session that keeps every change, each from the commit before it on."""
    found: list[Idea] = []
    last = record.base_commit
    for index in dict.fromkeys(one.index for one in record.iterations):
        for kind in ("planning", "iteration", "reflection"):
            calls = [one for one in _calls(record, index, kind) if one.commit]
            if not calls:
                continue
            if kind != "reflection":
                found.append(_of_calls(calls, last, account))
            last = calls[-1].commit
    return found


def _of_calls(calls: Sequence[IterationRecord], base: str | None, account: Account) -> Idea:
    ids = [id for call in calls for id in call.run_ids]
    mine = list({one.id: one for id in ids if (one := account.by_run.get(id)) and one.n}.values())
    # What it has to show for itself: the better of its configurations, as the account orders them.
    sign = 1 if account.direction == "max" else -1
    one = max(mine, key=lambda one: sign * (one.mean or 0.0), default=None)
    base_line = account.baseline
    test = account.comparisons.get(one.id) if one is not None else None
    against = base_line if base_line is not None and base_line is not one else None
    summary = next((call.summary for call in reversed(calls) if call.summary), "")
    metric = account.contract.metric
    return Idea(
        iteration=calls[-1].index,
        label=calls[-1].label,
        title=redact(title_of(summary)),
        summary=redact(summary)[:SUMMARY_LENGTH],
        status=NOT_JUDGED,
        why=redact(f"{NO_VERDICT}; {test.why}" if test is not None else NO_VERDICT),
        metric=metric.name if metric else None,
        before=against.compared.text if one is not None and against and against.n else None,
        after=one.compared.text if one is not None else None,
        p=test.p if test is not None else None,
        level=one.level if one is not None else None,
        configuration=redact(one.name) if one is not None else "",
        run_ids=ids,
        warnings=[redact(flag) for call in calls for flag in call.flags],
        base=base,
        commit=calls[-1].commit,
        tag=calls[-1].tag,
        at=calls[-1].finished_at,
    )


def _calls(record: SessionRecord, index: int, *kinds: str) -> list[IterationRecord]:
    wanted = kinds or ("planning", "iteration")
    return [one for one in record.iterations if one.index == index and one.kind in wanted]


def _left_in(state: KeepState) -> list[str]:
    """What was not kept, and is still in the tree, as git did not take it back."""
    return [
        one.label
        for one in state.verdicts
        if one.status is not KeepStatus.KEEP
        and any("could not be taken back" in text for text in one.warnings)
    ]


def _best(account: Account) -> BestToRun | None:
    best = account.best
    run = nearest(best) if best is not None else None
    metric = account.contract.metric
    if best is None or run is None or metric is None:
        return None
    return BestToRun(
        run_id=run.id,
        run_name=run.name,
        command=redact(run.command),
        value=run.metrics[metric.name],
        estimate=best.compared,
        configuration=best.name,
        level=best.level,
    )
