"""The contract of a session: fixed before anything is measured, then changed by the user alone."""

from datetime import UTC, datetime

from prefect.logging import get_run_logger

from wildloop.flows.git.code import code_digest, code_of_tree
from wildloop.flows.git.process import GitError
from wildloop.flows.git.snapshot import take_snapshot
from wildloop.flows.loop.work import Work
from wildloop.flows.metrics.contract import (
    changed_contract,
    contract_lines,
    first_contract,
    plan_fault,
)
from wildloop.flows.metrics.primary import plan_metric
from wildloop.flows.models.contract import ContractSource, SessionContract
from wildloop.flows.models.run import Checkout
from wildloop.flows.session.position import Position
from wildloop.flows.store.said import JUST_NOW_SECONDS
from wildloop.flows.turn.turn import Turn


async def settle_contract(work: Work) -> None:
    """Fix what the session compares by, as far as it is said; take what the user has changed.

    What wildloop.toml says is fixed before the agent is first called. Where it names no metric,
    the plan may, until the first run is there: who has seen values chooses no metric.
    """
    record, position = work.position.record, work.position
    fixed = record.contract
    if fixed is None:
        fixed = first_contract(work.project, None, position.spec.goal, _now())
        fixed.baseline_code, fixed.beginning = await _code(work, fixed)
        await _fix(position, fixed)
    if fixed.source is ContractSource.OPEN and plan_metric(position.plan_text()) is not None:
        planned = first_contract(
            work.project, position.plan_text(), position.spec.goal, fixed.fixed_at
        )
        planned.baseline_code, planned.beginning = fixed.baseline_code, fixed.beginning
        is_free = not await work.stores.runs.all(chat_session_id=position.id)
        if planned.source is not ContractSource.OPEN and is_free:
            await _fix(position, planned)
    await _take_changes(work)


async def _take_changes(work: Work) -> None:
    position, sessions = work.position, work.stores.sessions
    changes = await sessions.said.contract_changes(position.id, JUST_NOW_SECONDS)
    for key, change, at in changes:
        assert position.record.contract is not None
        position.record.keep.begin_anew()
        await _fix(position, changed_contract(position.record.contract, change, at))
        await sessions.said.forget(position.id, [key])


async def _fix(position: Position, contract: SessionContract) -> None:
    position.record.contract = contract
    await position.save()
    get_run_logger().info("what decides: %s", "; ".join(contract_lines(contract)))


async def _code(work: Work, fixed: SessionContract) -> tuple[str | None, Checkout | None]:
    """The digest of the files that the session begins with, and these as a commit."""
    workdir = work.position.workdir
    skipped = work.project.project.not_code if work.project else []
    try:
        taken = await take_snapshot(workdir)
        files = await code_of_tree(workdir, taken.snapshot or "", fixed.train or "", skipped)
    except (GitError, OSError) as error:
        get_run_logger().warning("the code of the beginning was not noted: %s", error)
        return None, None
    return code_digest(files), taken


def review_metric(position: Position, turn: Turn, before: str) -> None:
    """Tell the agent where the plan that it has written names another metric, or none clearly."""
    after, fixed = position.plan_text(), position.record.contract
    if fixed is None or plan_metric(after) == plan_metric(before):
        return
    if (fault := plan_fault(fixed, after)) is not None:
        turn.record.faults.append(fault)


def _now() -> float:
    return datetime.now(UTC).timestamp()
