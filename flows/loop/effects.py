"""What an agent's reply brings about: the plan, runs, the commit, the record."""

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path

from prefect.logging import get_run_logger

from wildloop.flows.errors import BudgetSpent, InvalidRequest
from wildloop.flows.evidence.account import Account
from wildloop.flows.git import repository
from wildloop.flows.git.history import tag_commit, tag_name
from wildloop.flows.git.process import run_git
from wildloop.flows.loop.artifact import attach_call, step_id
from wildloop.flows.loop.protection import inspect_call
from wildloop.flows.loop.settle import flag_edits
from wildloop.flows.loop.starting import note_wish
from wildloop.flows.loop.work import Work
from wildloop.flows.models.run import Run, RunCreate
from wildloop.flows.models.session_options import Budget
from wildloop.flows.models.session_record import IterationRecord, Phase, SessionRecord
from wildloop.flows.models.sweep import WildSweepCreate
from wildloop.flows.protocol.edits import review_edit
from wildloop.flows.protocol.experiments import parse_experiments
from wildloop.flows.protocol.plan_sections import with_kept_sections
from wildloop.flows.protocol.tags import storable
from wildloop.flows.session.evidence import account_for, note_shown
from wildloop.flows.session.log import entry_markdown
from wildloop.flows.session.position import Position
from wildloop.flows.session.tables import publish
from wildloop.flows.spending import spending, spent_bound
from wildloop.flows.store.own_runs import own_runs
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.stores import Stores
from wildloop.flows.store.sweeps import SweepStore
from wildloop.flows.struggle.failures import causes, failure_logs
from wildloop.flows.struggle.struggle import History, findings
from wildloop.flows.text.redaction import redact
from wildloop.flows.turn.turn import Turn

LEFT_OUT_SHOWN = 20
SUBJECT_LENGTH = 72
RUN_ERRORS = 5


def write_plan(position: Position, turn: Turn, before: str) -> None:
    """Put the reply's <plan> into tasks.md, unless the agent has written the file itself.

    Sections that it leaves out, of those that are kept, stay as they were.
    """
    if turn.tags.plan is None or position.plan_text() != before:
        return
    text, _ = with_kept_sections(before, turn.tags.plan.strip() + "\n")
    position.paths.root.mkdir(parents=True, exist_ok=True)
    position.paths.tasks.write_text(text, encoding="utf-8")


async def plan_before(position: Position, label: str) -> str:
    """tasks.md before the call: of one that was interrupted, as the call before has left it."""
    if position.record.in_progress != label:
        return position.plan_text()
    path = position.paths.tasks.relative_to(position.workdir)
    try:
        committed = await run_git(position.workdir, "show", f"HEAD:./{path}")
        return storable(committed.decode("utf-8", "replace"))
    except repository.GitError:
        # Not committed: the plan was refused by a hook, or nothing was committed yet.
        return position.plan_text()


def review_plan(position: Position, turn: Turn, before: str) -> None:
    """See what the call has done to tasks.md: open tasks that are gone are put back, and told."""
    after = position.plan_text()
    edit = review_edit(before, after)
    turn.record.faults += edit.faults
    turn.record.tasks_closed = edit.closed
    if edit.text != after:
        position.paths.root.mkdir(parents=True, exist_ok=True)
        position.paths.tasks.write_text(edit.text, encoding="utf-8")


def tell_misplaced(turn: Turn) -> None:
    """Tell of blocks that start runs where none are started."""
    found = {"experiments": turn.tags.experiments_raw, "evo_sweep": turn.tags.evo_sweep_raw}
    turn.record.faults += [
        f"<{name}> in a {turn.record.kind} reply starts nothing: make it a task of the plan, and "
        "answer with it in the iteration that carries the task out."
        for name, raw in found.items()
        if raw is not None
    ]


async def create_experiments(position: Position, stores: Stores, turn: Turn) -> list[str]:
    """Turn an <experiments> block into queued runs of a sweep; return their ids.

    The runs carry idempotency keys, so that a crash in the middle creates none twice.
    """
    if turn.tags.experiments_raw is None:
        return []
    requests, faults = parse_experiments(turn.tags.experiments_raw)
    turn.record.faults += faults
    requests = requests[: await _runs_left(position, stores.runs, turn, len(requests))]
    if not requests:
        return []
    sweep = await stores.sweeps.create_wild(
        WildSweepCreate(
            name=f"{turn.record.label} experiments",
            goal=requests[0].goal,
            chat_session_id=position.called,
        )
    )
    ids = []
    for number, request in enumerate(requests):
        spec = request.to_run_spec(position.workdir, position.called, sweep.id)
        if not Path(spec.workdir or position.workdir).is_dir():
            turn.record.faults.append(
                f"experiment {number + 1}: workdir '{spec.workdir}' does not exist; "
                "it was not started"
            )
            continue
        try:
            run = await stores.runs.create(
                RunCreate(**spec.model_dump(), auto_start=True),
                idempotency_key=f"{position.id}:{turn.record.label}:{number}",
            )
        except (InvalidRequest, BudgetSpent) as fault:
            turn.record.faults.append(f"experiment {number + 1}: {fault}; it was not started")
            continue
        ids.append(run.id)
    return ids


async def _runs_left(position: Position, store: RunStore, turn: Turn, wanted: int) -> int:
    """How many of `wanted` runs the budget still allows; the agent is told of a cut."""
    budget = position.spec.budget
    if budget == Budget():
        return wanted
    runs = await store.all(chat_session_id=position.id)
    used = spending(position.whole, runs, under_way=turn.record)
    if (limit := spent_bound(budget, used)) is not None:
        turn.record.faults.append(f"{limit.text}: no experiment was started")
        return 0
    left = wanted if budget.runs is None else max(0, budget.runs - used.runs)
    if wanted > left:
        turn.record.faults.append(
            f"the budget of {budget.runs} runs leaves {left}: {wanted - left} experiments were not "
            "started"
        )
    return min(wanted, left)


async def close_turn(
    work: Work, turn: Turn, runs: Sequence[Run], known_runs: Collection[str]
) -> None:
    """Make the call durable: runs noted, log appended, commit made, record saved.

    Args:
        work: the session.
        turn: the call that has ended.
        runs: all runs of the session, as they are now.
        known_runs: ids of those that were there before it.
    """
    position, record = work.position, turn.record
    note_wish(work, record, turn.tags.start_from)
    await inspect_call(work, turn, [run.command for run in runs])
    # Trials that a sweep has created meanwhile belong to the call that asked for the sweep.
    trials = work.sweeping.sweep_id if work.sweeping else None
    mine = [run for run in runs if position.owns(run)]
    record.run_ids = [
        run.id
        for run in mine
        if run.id not in known_runs and (trials is None or run.sweep_id != trials)
    ]
    record.run_errors = _run_errors(position.record, mine)
    record.active_runs = sum(not run.status.is_terminal for run in mine)
    # The log names the tag of the commit that it is part of.
    record.tag = tag_name(position.id, record)
    append_log(position, record)
    await commit(position, record, hooks=bool(work.project and work.project.git.hooks))
    await flag_edits(position.workdir, record)
    await _tag(position.workdir, record)
    since = position.record.iterations[-1].started_at if position.record.iterations else 0.0
    own = await own_runs(work.stores.runs, position.id, position.record.contract)
    # From here to the save nothing is awaited: another's save in between is not to have half of it.
    position.add_call(record)
    account = account_for(position, work.project, runs, own=own)
    record.signs = _counted_signs(position.record, account)
    note_shown(position, account, runs, own)
    position.record.in_progress = None
    position.record.attempt = 1
    if position.record.pending_runs or position.record.awaiting_turn:
        # What follows at once, so that it need not be saved once more.
        position.record.phase = Phase.WAITING
    await asyncio.gather(
        position.save(),
        position.save_plan(step_id()),
        attach_call(work, turn, runs),
        publish(position, account),
        # What has ended since the call before this one began may not be told yet.
        refresh_sweeps(work.stores.sweeps, runs, since),
    )
    await work.stores.sessions.said.forget(position.id, turn.steer_keys)


def _run_errors(position: SessionRecord, runs: Sequence[Run]) -> list[str]:
    """The causes of the failures since the call before this one ended."""
    records = position.iterations
    since = (records[-1].finished_at or records[-1].started_at) if records else 0.0
    failed = [run for run in runs if run.finished_at is not None and run.finished_at > since]
    found = causes(failed, failure_logs(failed))
    return [redact(cause.text) for cause in found[:RUN_ERRORS]]


def _counted_signs(position: SessionRecord, account: Account) -> list[str]:
    """The signs of struggle at the end of an iteration, where they count."""
    if position.iterations[-1].kind != "iteration":
        return []
    found = findings(position.iterations, History.of(account))
    return [one.sign.value for one in found if one.counts]


async def refresh_sweeps(sweeps: SweepStore, runs: Sequence[Run], since: float) -> None:
    """Write the tables of the sweeps that have runs under way, or ended after `since`, anew."""
    moved = {
        run.sweep_id
        for run in runs
        if run.sweep_id and (run.finished_at is None or run.finished_at >= since)
    }
    if moved:
        await sweeps.refresh_many({id: [run for run in runs if run.sweep_id == id] for id in moved})


def append_log(position: Position, record: IterationRecord) -> None:
    """Append the call to iteration_log.md, once."""
    position.paths.root.mkdir(parents=True, exist_ok=True)
    path = position.paths.log
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    heading = f"## {record.label}\n"
    if heading in text:
        return
    if not text:
        text = f"# Iteration log\n\n**Goal**: {position.spec.goal}\n"
    path.write_text(text.rstrip("\n") + "\n\n" + entry_markdown(record), encoding="utf-8")


async def commit(position: Position, record: IterationRecord, hooks: bool = False) -> None:
    """Commit what the call has changed; a fault of git is told, and ends nothing.

    Args:
        position: where the session stands.
        record: of the call.
        hooks: whether the user's hooks are run.
    """
    first = (
        record.summary.strip().split("\n")[0] if record.summary else record.error or "no summary"
    )
    subject = f"wild: {record.label}: {first}"
    if len(subject) > SUBJECT_LENGTH:
        subject = subject[: SUBJECT_LENGTH - 1] + "…"
    body = f"{record.summary}\n\nSession: {position.id}"
    try:
        result = await repository.commit_all(position.workdir, f"{subject}\n\n{body}", hooks=hooks)
    except repository.GitError as error:
        record.troubles.append(f"git commit failed: {error}")
        get_run_logger().error("%s: git commit failed: %s", record.label, error)
        # That nothing was committed is no sign that the agent has changed nothing.
        record.files_changed = 1
        return
    record.commit = position.record.tip = result.commit
    own = str(position.paths.root.relative_to(position.main))
    record.files_changed = sum(1 for name in result.files if not name.startswith(own))
    tell_left_out(position.record, record, result.skipped)


def tell_left_out(position: SessionRecord, record: IterationRecord, skipped: Sequence[str]) -> None:
    """Tell once in a session of each thing that no commit and no snapshot holds."""
    told = {text for call in position.iterations for text in call.troubles}
    for one in skipped[:LEFT_OUT_SHOWN]:
        get_run_logger().warning("%s: not committed: %s", record.label, one)
        text = f"not in the commit, nor in a run's snapshot: {one}"
        if text not in told:
            record.troubles.append(text)


async def _tag(workdir: Path, record: IterationRecord) -> None:
    """Tag the call's commit; a fault of git is logged, and ends nothing."""
    if record.commit is None or record.tag is None:
        record.tag = None
        return
    try:
        await tag_commit(workdir, record.tag, record.commit)
    except repository.GitError as error:
        get_run_logger().error("%s: no tag %s: %s", record.label, record.tag, error)
        record.tag = None
