"""Keep or discard in a session: wait for the runs of an iteration, confirm, decide, note."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from prefect.logging import get_run_logger

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.files.manifest import busy_reason
from wildloop.flows.git import repository, restore
from wildloop.flows.git.code import code_digest, counted, files_of_tree
from wildloop.flows.git.history import tag_name
from wildloop.flows.keep.aside import set_aside, tries
from wildloop.flows.keep.decide import Change, decide
from wildloop.flows.keep.elsewhere import begun_elsewhere
from wildloop.flows.keep.flags import flagged_edits
from wildloop.flows.keep.held import held
from wildloop.flows.loop.approval import consented
from wildloop.flows.loop.checks import checked
from wildloop.flows.loop.confirming import confirm_and_wait
from wildloop.flows.loop.decided import carry_out_left, note_verdict
from wildloop.flows.loop.waiting import wait_for_runs
from wildloop.flows.loop.work import Work
from wildloop.flows.models.keep import Decided, KeepState, KeepStatus, Verdict
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import IterationRecord, Phase
from wildloop.flows.project import ProjectConfig
from wildloop.flows.session.evidence import account_for
from wildloop.flows.session.position import Position
from wildloop.flows.store.own_runs import own_runs
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.sweeps import sweep_texts
from wildloop.flows.tree.nodes import node_id

DESCRIPTION_LENGTH = 1000
NO_METRIC = "not measured: no primary metric is named, so the change stays as it is"


def is_measured(spec: SessionSpec) -> bool:
    """Whether changes of this session are kept or discarded by their runs."""
    return spec.keep == "better"


async def begin_change(position: Position, index: int) -> None:
    """Note where an iteration begins; what lies about uncommitted is none of its change."""
    state = position.record.keep
    if not is_measured(position.spec) or state.base_iteration == index:
        return
    try:
        message = f"wild: before iteration {index}: changes found\n\nSession: {position.id}"
        found = await repository.commit_all(position.workdir, message, allow_empty=False)
        state.base = found.commit
    except repository.GitError as error:
        get_run_logger().error("nothing was committed before iteration %d: %s", index, error)
        state.base = await repository.head_commit(position.workdir)
    state.base_iteration = index
    await position.save()


async def flag_edits(workdir: Path, record: IterationRecord) -> None:
    """Note in a call's record which edits of seeds, evaluation or data its commit has."""
    if record.commit is None or record.kind != "iteration":
        return
    try:
        parent = await restore.resolve(workdir, f"{record.commit}^")
        if parent is None:
            return
        diff = await restore.project_diff(workdir, parent, record.commit)
    except repository.GitError as error:
        get_run_logger().error("%s: its diff was not read: %s", record.label, error)
        return
    record.flags = await asyncio.to_thread(flagged_edits, diff)


async def settle(work: Work) -> None:
    """Keep or discard the change of the last iteration, once it is over and its runs have ended.

    An iteration whose runs still run when a steer or an alert comes is not over: its agent is
    called again. At the end of a session nothing is waited for: runs that go on leave it undecided.
    """
    position, record = work.position, work.position.record
    if not is_measured(position.spec):
        return
    if work.desks:
        for desk in work.desks:
            desk.position.refresh()
            await settle(desk)
        await work.merge_left()
        return
    async with work.line:
        await carry_out_left(work)
    calls = _undecided(position)
    is_closing = record.closing is not None
    if not calls or (record.awaiting_turn and not is_closing):
        return
    ids = list(dict.fromkeys(id for call in calls for id in call.run_ids))
    if await _active(work.stores.runs, position.id, ids):
        if is_closing:
            return
        await position.enter(Phase.WAITING)
        reason = await wait_for_runs(work, ids)
        get_run_logger().info("before keep or discard: %s", reason)
        if await _active(work.stores.runs, position.id, ids):
            record.awaiting_turn = True
            await position.save()
            return
    runs = await work.stores.runs.all(chat_session_id=position.id)
    own = await _confirm(work, calls, runs)
    async with work.line:
        work.control.check()
        position.refresh()
        decided = await _decide(work, calls, runs, own)
        if decided is None:
            return
        if work.merge is not None and decided.verdict.status is KeepStatus.KEEP:
            await work.merge(decided)
            return
        _apply(record.keep, decided)
        await note_verdict(work, decided.verdict)


async def _confirm(work: Work, calls: Sequence[IterationRecord], runs: Sequence[Run]) -> list[Run]:
    """Have Wildloop run again what the iteration may be kept for; all its own runs."""
    position, contract = work.position, work.position.record.contract
    if contract is None or not contract.needs_own_runs:
        return []
    own = await own_runs(work.stores.runs, position.id, contract)
    account = account_for(position, work.project, runs, own=own)
    ids = {id for call in calls for id in call.run_ids}
    mine = [one for one in account.configurations if any(run.id in ids for run in one.runs)]
    if mine:
        await confirm_and_wait(work, [one.id for one in mine])
    return await own_runs(work.stores.runs, position.id, contract)


def _undecided(position: Position) -> list[IterationRecord]:
    """The calls of the last iteration (planning is number 0) if nothing is decided about it."""
    record, index = position.record, position.record.last_index
    if record.keep.of(index) is not None or index in position.merging:
        return []
    return [call for call in record.iterations if call.kind != "reflection" and call.index == index]


async def _active(runs: RunStore, session_id: str, ids: Sequence[str]) -> bool:
    active = await runs.active(RunFilter(chat_session_id=session_id))
    return any(run.id in ids for run in active)


async def _decide(
    work: Work, calls: Sequence[IterationRecord], every: Sequence[Run], own: Sequence[Run]
) -> Decided | None:
    """The decision, of which nothing is noted yet; None where there is nothing to decide."""
    position, project = work.position, work.project
    state, last, workdir = position.record.keep, calls[-1], position.workdir
    base = state.base if state.base_iteration == last.index else position.record.base_commit
    commit = last.commit or await repository.head_commit(workdir)
    ids = {id for call in calls for id in call.run_ids}
    runs = [run for run in every if run.id in ids]
    if not runs and not await _changed(workdir, base, commit):
        return None
    texts = await sweep_texts(position.client, every)
    account = account_for(position, project, every, texts, own)
    metric = account.contract.metric
    is_compared = metric is not None and bool(runs)
    change = await _change(position, project, account, runs, last.index, commit)
    decision = set_aside(account, change) or decide(account, tries(account, change))
    start = state.start_of(last.index)
    decision = begun_elsewhere(decision, change, start.node if start else "")
    decision = await checked(held(account, decision), project, workdir)
    # Before anything of it is noted: whoever waits for the answer may be killed.
    decision = await consented(work, decision, last.label, commit)
    name, direction = state.metric, state.direction
    if is_compared and metric is not None:
        name, direction = metric.name, metric.direction
    verdict = Verdict(
        iteration=last.index,
        label=last.label,
        status=decision.status if is_compared or not runs else KeepStatus.KEEP,
        why=NO_METRIC if runs and metric is None else decision.why,
        description=(_summary(calls) or last.error or "no summary")[:DESCRIPTION_LENGTH],
        metric=name,
        direction=direction,
        commit=commit,
        base=base,
        candidate=decision.candidate if is_compared else None,
        against=decision.against if is_compared else None,
        comparison=decision.comparison,
        is_tested=decision.is_tested,
        refused=decision.refused,
        warnings=[*decision.warnings, *_doubts(position, account, runs, calls)],
        tag=tag_name(position.id, last) if commit else None,
        started_from=start.node if start else "",
        decided_at=datetime.now(UTC).timestamp(),
    )
    if not is_compared:
        return Decided(verdict=verdict, best=state.best, baseline=state.baseline)
    is_first = state.best is None and decision.best is not None
    first = decision.against or decision.best
    baseline = first.id if is_first and first is not None else state.baseline
    return Decided(verdict=verdict, best=decision.best, baseline=baseline)


def _apply(state: KeepState, decided: Decided) -> None:
    """Note what a decision has made of the state; it is saved with its verdict."""
    state.metric, state.direction = decided.verdict.metric, decided.verdict.direction
    state.best, state.baseline = decided.best, decided.baseline


async def _change(
    position: Position,
    project: ProjectConfig | None,
    account: Account,
    runs: Sequence[Run],
    index: int,
    commit: str | None,
) -> Change:
    """What the runs of an iteration say of the code that it has left."""
    found = list({one.id: one for run in runs if (one := account.by_run.get(run.id))}.values())
    reasons = await asyncio.to_thread(
        lambda: {run.id: busy_reason(Path(run.run_dir)) for run in runs}
    )
    left = await _codes(position.workdir, project, found, commit)
    mine = [one for one in found if one.code is None or one.code == left.get(one.id)]
    state = position.record.keep
    return Change(
        candidates=mine,
        others=[one for one in found if one not in mine and not _is_best(one, state)],
        best=state.best,
        tests=state.tests,
        iteration=index,
        commit=commit,
        busy={id: reason for id, reason in reasons.items() if reason is not None},
        has_runs=bool(runs),
    )


def _is_best(one: Configuration, state: KeepState) -> bool:
    return state.best is not None and state.best.id == one.id


async def _codes(
    workdir: Path,
    project: ProjectConfig | None,
    found: Sequence[Configuration],
    commit: str | None,
) -> dict[str, str]:
    """What the digest of each configuration's code is in a commit, by configuration."""
    if commit is None:
        return {}
    skipped = project.project.not_code if project is not None else []
    digests, trees = {}, {}
    for one in found:
        own = Path(one.runs[0].workdir)
        folder = own if own.is_dir() else workdir
        # Of a long night there are hundreds of configurations, and one commit.
        if folder not in trees:
            trees[folder] = await files_of_tree(folder, commit)
        files, prefix = trees[folder]
        digests[one.id] = code_digest(counted(files, prefix, one.runs[0].command, skipped))
    return digests


def _doubts(
    position: Position,
    account: Account,
    runs: Sequence[Run],
    calls: Sequence[IterationRecord],
) -> list[str]:
    """What the numbers do not tell."""
    state, metric = position.record.keep, account.contract.metric
    start = state.start_of(calls[-1].index)
    # What was changed on the way to the code that it began with is in its change, too.
    node = start.node if start else ""
    began = [one for one in position.record.iterations if node_id(one.index) == node]
    doubts = list(dict.fromkeys(flag for call in (*began, *calls) for flag in call.flags))
    if runs and metric is None:
        doubts.append(
            "no primary metric was fixed before the first run, so nothing can be compared: the "
            "user names one (`wildloop contract set`)"
        )
    for run in runs:
        if run.code_note:
            doubts.append(f"{run.name} ran unknown code and is not compared: {run.code_note}")
        if run.diverged and metric is not None and metric.name in run.diverged:
            doubts.append(f"{run.name} diverged: {metric.name} ended as NaN or infinite")
    best = state.best
    unmeasured = [
        one.label
        for one in state.current
        if one.candidate is None and one.status is KeepStatus.KEEP
        if best is not None and one.iteration > best.iteration and start is None
    ]
    if runs and metric is not None and unmeasured:
        doubts.append(
            f"the changes of {', '.join(unmeasured)} were not measured and lie between the best "
            "and this one: to see what they do, run the best configuration again"
        )
    return doubts


def _summary(calls: Sequence[IterationRecord]) -> str:
    return next((call.summary for call in reversed(calls) if call.summary), "")


async def _changed(workdir: Path, since: str | None, until: str | None) -> list[str]:
    if since is None or until is None:
        return []
    return await restore.project_changes(workdir, since, until)
