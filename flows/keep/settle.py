"""Carrying out keep or discard in a session: wait, decide, note, take back; resumable throughout.

The decision is saved before anything is done about it, and each step can be done again: whoever
takes the session up after a crash carries out what was decided, once.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger

from flows import git, git_restore
from flows.history import tag_commit, tag_name
from flows.keep.decide import decide
from flows.keep.evidence import evidence
from flows.keep.flags import flagged_edits
from flows.keep.ledger import write_ledger
from flows.keep.texts import log_entry, refused
from flows.manifest import busy_reason, snapshot_of
from flows.metrics.primary import primary_metric
from flows.models.keep import Evidence, KeepState, KeepStatus, Verdict
from flows.models.run import Run
from flows.models.session_record import IterationRecord, Phase
from flows.session import ResearchSession
from flows.waiting import wait_for_runs

DESCRIPTION_LENGTH = 1000
SHOWN = 5
NO_METRIC = "not measured: no primary metric is named, so the change stays as it is"


def is_measured(session: ResearchSession) -> bool:
    """Whether changes of this session are kept or discarded by their runs."""
    return session.spec.keep == "better"


async def begin_change(session: ResearchSession, index: int) -> None:
    """Note where an iteration begins; what lies about uncommitted is none of its change."""
    state = session.record.keep
    if not is_measured(session) or state.base_iteration == index:
        return
    try:
        message = f"wild: before iteration {index}: changes found\n\nSession: {session.id}"
        found = await git.commit_all(session.workdir, message, allow_empty=False)
        state.base = found.commit
    except git.GitError as error:
        get_run_logger().error("nothing was committed before iteration %d: %s", index, error)
        state.base = await git.head_commit(session.workdir)
    state.base_iteration = index
    await session.save()


async def flag_edits(session: ResearchSession, record: IterationRecord) -> None:
    """Note in a call's record which edits of seeds, evaluation or data its commit has."""
    if record.commit is None or record.kind != "iteration":
        return
    try:
        parent = await git_restore.resolve(session.workdir, f"{record.commit}^")
        if parent is None:
            return
        diff = await git_restore.project_diff(session.workdir, parent, record.commit)
    except git.GitError as error:
        get_run_logger().error("%s: its diff was not read: %s", record.label, error)
        return
    record.flags = await asyncio.to_thread(flagged_edits, diff)


async def settle(session: ResearchSession) -> None:
    """Keep or discard the change of the last iteration, once it is over and its runs have ended.

    An iteration whose runs still run when a steer or an alert comes is not over: its agent is
    called again. At the end of a session nothing is waited for: runs that go on leave it undecided.
    """
    if not is_measured(session):
        return
    for left in session.record.keep.verdicts:
        if not left.applied:
            await _carry_out(session, left)
    calls = _undecided(session)
    is_closing = session.record.closing is not None
    if not calls or (session.record.awaiting_turn and not is_closing):
        return
    ids = list(dict.fromkeys(id for call in calls for id in call.run_ids))
    if await _active(session, ids):
        if is_closing:
            return
        await session.enter(Phase.WAITING)
        reason = await wait_for_runs(session, ids)
        get_run_logger().info("before keep or discard: %s", reason)
        if await _active(session, ids):
            session.record.awaiting_turn = True
            await session.save()
            return
    verdict = await _decide(session, calls, ids)
    if verdict is not None:
        session.record.keep.verdicts.append(verdict)
        await session.save()
        await _carry_out(session, verdict)


def _undecided(session: ResearchSession) -> list[IterationRecord]:
    """The calls of the last iteration (planning is number 0) if nothing is decided about it."""
    index = session.record.last_index
    if session.record.keep.of(index) is not None:
        return []
    return [
        call
        for call in session.record.iterations
        if call.kind != "reflection" and call.index == index
    ]


async def _active(session: ResearchSession, ids: Sequence[str]) -> bool:
    return any(run.id in ids for run in await session.active_runs())


async def _decide(
    session: ResearchSession, calls: Sequence[IterationRecord], ids: Sequence[str]
) -> Verdict | None:
    """The decision, its evidence noted in the state; None where there is nothing to decide."""
    state, last = session.record.keep, calls[-1]
    base = state.base if state.base_iteration == last.index else session.record.base_commit
    commit = last.commit or await git.head_commit(session.workdir)
    changed = await _changed(session, base, commit)
    runs = [run for run in await session.all_runs() if run.id in ids]
    if not runs and not changed:
        return None
    groups = await _measured(session, runs, last.index, commit) if runs else []
    decision = decide(
        groups,
        state.best,
        state.direction,
        code_changed=bool(state.best and await _changed(session, state.best.commit, commit)),
        alpha=session.spec.keep_alpha,
        spread=state.spread,
    )
    verdict = Verdict(
        iteration=last.index,
        label=last.label,
        status=decision.status,
        why=NO_METRIC if runs and not groups else decision.why,
        description=(_summary(calls) or last.error or "no summary")[:DESCRIPTION_LENGTH],
        metric=state.metric,
        direction=state.direction,
        commit=commit,
        base=base,
        candidate=decision.candidate,
        against=decision.against,
        comparison=decision.comparison,
        warnings=[
            *decision.warnings,
            *_doubts(session, runs, calls, bool(groups)),
            *await _other_code(session, runs, commit),
        ],
        tag=tag_name(session.id, last) if commit else None,
        decided_at=datetime.now(UTC).timestamp(),
    )
    state.best, state.spread = decision.best, decision.spread
    return verdict


async def _measured(
    session: ResearchSession, runs: Sequence[Run], index: int, commit: str | None
) -> list[Evidence]:
    """The configurations of the runs, by the session's one primary metric."""
    state = session.record.keep
    if state.metric is None:
        found = primary_metric(plan=session.plan_text(), project=session.project)
        if found is None:
            return []
        state.metric, state.direction = found.name, found.direction
    reasons = await asyncio.to_thread(
        lambda: {run.id: busy_reason(Path(run.run_dir)) for run in runs}
    )
    busy = {id: reason for id, reason in reasons.items() if reason is not None}
    return evidence(runs, state.metric, iteration=index, commit=commit, busy=busy)


def _doubts(
    session: ResearchSession,
    runs: Sequence[Run],
    calls: Sequence[IterationRecord],
    is_compared: bool,
) -> list[str]:
    """What the numbers do not tell."""
    state = session.record.keep
    doubts = list(dict.fromkeys(flag for call in calls for flag in call.flags))
    if runs and not is_compared:
        doubts.append(
            "no primary metric is named, so nothing can be compared: write `Primary metric: NAME "
            "(max|min)` into the plan's contract, or [metric] name into wildloop.toml"
        )
    now = primary_metric(plan=session.plan_text(), project=session.project)
    if state.metric is not None and now is not None and now.name != state.metric:
        doubts.append(
            f"the plan names another primary metric now ({now.name}): changes are still judged by "
            f"{state.metric}"
        )
    best = state.best
    unmeasured = [
        one.label
        for one in state.verdicts
        if one.candidate is None and best is not None and one.iteration > best.iteration
    ]
    if is_compared and unmeasured:
        doubts.append(
            f"the changes of {', '.join(unmeasured)} were not measured and lie between the best "
            "and this one: to see what they do, run the best configuration again"
        )
    return doubts


async def _other_code(
    session: ResearchSession, runs: Sequence[Run], commit: str | None
) -> list[str]:
    """A warning where runs executed other code than the iteration has committed.

    Of runs without a snapshot that is not known.
    """
    ran: dict[str, list[str]] = {}
    for run in runs:
        snapshot = await asyncio.to_thread(snapshot_of, Path(run.run_dir))
        if snapshot is not None:
            ran.setdefault(snapshot, []).append(run.name)
    found = []
    for snapshot, names in ran.items():
        files = await _changed(session, snapshot, commit)
        if files:
            found.append(
                f"{', '.join(names[:SHOWN])} ran other code than this iteration has left: "
                f"{', '.join(files[:SHOWN])} changed since"
            )
    return found


def _summary(calls: Sequence[IterationRecord]) -> str:
    return next((call.summary for call in reversed(calls) if call.summary), "")


async def _changed(session: ResearchSession, since: str | None, until: str | None) -> list[str]:
    if since is None or until is None:
        return []
    return await git_restore.project_changes(session.workdir, since, until)


async def _carry_out(session: ResearchSession, verdict: Verdict) -> None:
    """Do what was decided; every step may be done again after a crash."""
    logger = get_run_logger()
    logger.info("%s: %s: %s", verdict.label, verdict.status.value, verdict.why)
    for warning in verdict.warnings:
        logger.warning("%s: %s", verdict.label, warning)
    try:
        if verdict.tag is not None and verdict.commit is not None:
            await tag_commit(session.workdir, verdict.tag, verdict.commit)
        if verdict.status is not KeepStatus.KEEP and verdict.base and verdict.commit:
            verdict.reverted_by = await _take_back(session, verdict)
            for call in session.record.iterations:
                if call.index == verdict.iteration and verdict.reverted_by:
                    call.taken_back_at = verdict.decided_at
    except git.GitError as error:
        verdict.warnings.append(refused(error))
        logger.error("%s: %s", verdict.label, refused(error))
    verdict.applied = True
    write_ledger(session.paths.results, _applied(session.record.keep))
    append_verdict(session, verdict)
    await _commit_ledger(session, verdict)
    await session.save()


async def _commit_ledger(session: ResearchSession, verdict: Verdict) -> None:
    try:
        subject = f"wild: {verdict.label}: {verdict.status.value} in results.tsv"
        message = f"{subject}\n\n{verdict.why}\n\nSession: {session.id}"
        await git.commit_all(session.workdir, message, allow_empty=False)
    except git.GitError as error:
        get_run_logger().error("%s: the ledger was not committed: %s", verdict.label, error)


async def _take_back(session: ResearchSession, verdict: Verdict) -> str | None:
    assert verdict.base is not None and verdict.commit is not None
    spared = session.project.keep.spare if session.project else []
    message = (
        f"wild: {verdict.label}: {verdict.status.value}: its change is taken back\n\n"
        f"{verdict.why}\n\nThe change: {verdict.tag} ({verdict.commit})\nSession: {session.id}"
    )
    made = await git_restore.take_back(
        session.workdir, verdict.base, verdict.commit, message, spared
    )
    return made or await git_restore.find_commit(session.workdir, verdict.commit, verdict.tag or "")


def _applied(state: KeepState) -> list[Verdict]:
    return [verdict for verdict in state.verdicts if verdict.applied]


def append_verdict(session: ResearchSession, verdict: Verdict) -> None:
    """Append a decision to iteration_log.md, once."""
    path = session.paths.log
    entry = log_entry(verdict)
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if entry.split("\n", 1)[0] + "\n" in text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.rstrip("\n") + "\n\n" + entry, encoding="utf-8")
