"""What an agent's reply brings about: the plan, runs, the commit, the record."""

from collections.abc import Sequence
from pathlib import Path

from prefect.logging import get_run_logger

from flows import git
from flows.errors import InvalidRequest
from flows.failures import causes, failure_logs
from flows.git_process import run_git
from flows.guards.turns import inspect_call
from flows.history import tag_commit, tag_name
from flows.keep.settle import flag_edits
from flows.models.run import Run, RunCreate
from flows.models.session_record import IterationRecord
from flows.models.sweep import WildSweepCreate
from flows.protocol.edits import review_edit
from flows.protocol.experiments import parse_experiments
from flows.protocol.tags import storable
from flows.redaction import redact
from flows.results import scored
from flows.session import ResearchSession, entry_markdown
from flows.spending import spending, spent_bound
from flows.struggle import findings
from flows.turn import Turn

SUBJECT_LENGTH = 72
RUN_ERRORS = 5


def write_plan(session: ResearchSession, turn: Turn, before: str) -> None:
    """Put the reply's <plan> into tasks.md, unless the agent has written the file itself."""
    if turn.tags.plan is None or session.plan_text() != before:
        return
    session.paths.root.mkdir(parents=True, exist_ok=True)
    session.paths.tasks.write_text(turn.tags.plan.strip() + "\n", encoding="utf-8")


async def plan_before(session: ResearchSession, label: str) -> str:
    """tasks.md before the call: of one that was interrupted, as the call before has left it."""
    if session.record.in_progress != label:
        return session.plan_text()
    path = session.paths.tasks.relative_to(session.workdir)
    try:
        committed = await run_git(session.workdir, "show", f"HEAD:./{path}")
        return storable(committed.decode("utf-8", "replace"))
    except git.GitError:
        # Not committed: the plan was refused by a hook, or nothing was committed yet.
        return session.plan_text()


def review_plan(session: ResearchSession, turn: Turn, before: str) -> None:
    """See what the call has done to tasks.md: open tasks that are gone are put back, and told."""
    after = session.plan_text()
    edit = review_edit(before, after)
    turn.record.faults += edit.faults
    turn.record.tasks_closed = edit.closed
    if edit.text != after:
        session.paths.root.mkdir(parents=True, exist_ok=True)
        session.paths.tasks.write_text(edit.text, encoding="utf-8")


def tell_misplaced(turn: Turn) -> None:
    """Tell of blocks that start runs where none are started."""
    found = {"experiments": turn.tags.experiments_raw, "evo_sweep": turn.tags.evo_sweep_raw}
    turn.record.faults += [
        f"<{name}> in a {turn.record.kind} reply starts nothing: make it a task of the plan, and "
        "answer with it in the iteration that carries the task out."
        for name, raw in found.items()
        if raw is not None
    ]


async def create_experiments(session: ResearchSession, turn: Turn) -> list[str]:
    """Turn an <experiments> block into queued runs of a sweep; return their ids.

    The runs carry idempotency keys, so that a crash in the middle creates none twice.
    """
    if turn.tags.experiments_raw is None:
        return []
    requests, faults = parse_experiments(turn.tags.experiments_raw)
    turn.record.faults += faults
    requests = requests[: await _runs_left(session, turn, len(requests))]
    if not requests:
        return []
    sweep = await session.sweeps.create_wild(
        WildSweepCreate(
            name=f"{turn.record.label} experiments",
            goal=requests[0].goal,
            chat_session_id=session.id,
        )
    )
    ids = []
    for number, request in enumerate(requests):
        spec = request.to_run_spec(session.workdir, session.id, sweep.id)
        if not Path(spec.workdir or session.workdir).is_dir():
            turn.record.faults.append(
                f"experiment {number + 1}: workdir '{spec.workdir}' does not exist; "
                "it was not started"
            )
            continue
        try:
            run = await session.runs.create(
                RunCreate(**spec.model_dump(), auto_start=True),
                idempotency_key=f"{session.id}:{turn.record.label}:{number}",
            )
        except InvalidRequest as fault:
            turn.record.faults.append(f"experiment {number + 1}: {fault}; it was not started")
            continue
        ids.append(run.id)
    return ids


async def _runs_left(session: ResearchSession, turn: Turn, wanted: int) -> int:
    """How many of `wanted` runs the budget still allows; the agent is told of a cut."""
    budget, runs = session.spec.budget, await session.all_runs()
    used = spending(session.record, runs, under_way=turn.record)
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


async def close_turn(session: ResearchSession, turn: Turn, known_runs: set[str]) -> None:
    """Make the call durable: runs noted, log appended, commit made, record saved.

    Args:
        session: the session.
        turn: the call that has ended.
        known_runs: ids of the runs that were there before it.
    """
    record = turn.record
    runs = await session.all_runs()
    await inspect_call(session, turn, [run.command for run in runs])
    # Trials that a sweep has created meanwhile belong to the call that asked for the sweep.
    trials = session.sweeping.sweep_id if session.sweeping else None
    record.run_ids = [
        run.id
        for run in runs
        if run.id not in known_runs and (trials is None or run.sweep_id != trials)
    ]
    record.run_errors = _run_errors(session, runs)
    record.active_runs = sum(not run.status.is_terminal for run in runs)
    # The log names the tag of the commit that it is part of.
    record.tag = tag_name(session.id, record)
    append_log(session, record)
    await commit(session, record)
    await flag_edits(session, record)
    await _tag(session, record)
    record.signs = _counted_signs(session, record, runs)
    session.record.iterations.append(record)
    session.record.in_progress = None
    session.record.attempt = 1
    await session.save()
    await session.save_plan()
    await refresh_sweeps(session, runs, since=session.last_look(record))
    for key in turn.steer_keys:
        await session.client.delete_flow_run_input(session.flow_run_id, key)


def _run_errors(session: ResearchSession, runs: Sequence[Run]) -> list[str]:
    """The causes of the failures since the call before this one ended."""
    records = session.record.iterations
    since = (records[-1].finished_at or records[-1].started_at) if records else 0.0
    failed = [run for run in runs if run.finished_at is not None and run.finished_at > since]
    found = causes(failed, failure_logs(failed))
    return [redact(cause.text) for cause in found[:RUN_ERRORS]]


def _counted_signs(
    session: ResearchSession, record: IterationRecord, runs: Sequence[Run]
) -> list[str]:
    """The signs of struggle at the end of an iteration, where they count."""
    if record.kind != "iteration":
        return []
    metric = session.project.metric if session.project else None
    values = [value for value, _ in scored(runs, metric.name)] if metric else []
    direction = metric.direction if metric else "max"
    found = findings([*session.record.iterations, record], values, direction)
    return [one.sign.value for one in found if one.counts]


async def refresh_sweeps(session: ResearchSession, runs: Sequence[Run], since: float) -> None:
    """Write the tables of the sweeps that have runs under way, or ended after `since`, anew."""
    moved = {
        run.sweep_id
        for run in runs
        if run.sweep_id and (run.finished_at is None or run.finished_at >= since)
    }
    for sweep_id in sorted(moved):
        await session.sweeps.refresh(sweep_id)


def append_log(session: ResearchSession, record: IterationRecord) -> None:
    """Append the call to iteration_log.md, once."""
    session.paths.root.mkdir(parents=True, exist_ok=True)
    path = session.paths.log
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    heading = f"## {record.label}\n"
    if heading in text:
        return
    if not text:
        text = f"# Iteration log\n\n**Goal**: {session.spec.goal}\n"
    path.write_text(text.rstrip("\n") + "\n\n" + entry_markdown(record), encoding="utf-8")


async def commit(session: ResearchSession, record: IterationRecord) -> None:
    """Commit what the call has changed; a fault of git is told, and ends nothing."""
    first = (
        record.summary.strip().split("\n")[0] if record.summary else record.error or "no summary"
    )
    subject = f"wild: {record.label}: {first}"
    if len(subject) > SUBJECT_LENGTH:
        subject = subject[: SUBJECT_LENGTH - 1] + "…"
    body = f"{record.summary}\n\nSession: {session.id}"
    try:
        result = await git.commit_all(session.workdir, f"{subject}\n\n{body}")
    except git.GitError as error:
        record.faults.append(f"git commit failed: {error}")
        get_run_logger().error("%s: git commit failed: %s", record.label, error)
        return
    record.commit = result.commit
    own = str(session.paths.root.relative_to(session.workdir))
    record.files_changed = sum(1 for name in result.files if not name.startswith(own))
    for skipped in result.skipped[:20]:
        get_run_logger().warning("%s: not committed: %s", record.label, skipped)


async def _tag(session: ResearchSession, record: IterationRecord) -> None:
    """Tag the call's commit; a fault of git is logged, and ends nothing."""
    if record.commit is None or record.tag is None:
        record.tag = None
        return
    try:
        await tag_commit(session.workdir, record.tag, record.commit)
    except git.GitError as error:
        get_run_logger().error("%s: no tag %s: %s", record.label, record.tag, error)
        record.tag = None
