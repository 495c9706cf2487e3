"""The session's branch: begun, kept checked out, and the user's given back at the end."""

from prefect.logging import get_run_logger

from wildloop.flows.git import repository
from wildloop.flows.git.off_branch import bring_back
from wildloop.flows.git.user_checkout import give_back, remember
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.session.position import Position
from wildloop.flows.turn.transcripts import NOT_COMMITTED

NO_BRANCH = (
    "{} stays checked out: there was no commit before the session, so no branch to go back to; "
    "`git switch -c main` begins one here"
)


async def prepare_branch(position: Position) -> None:
    """Commit on `wild/<session>` (or the current branch); keep run folders out of git."""
    record, workdir = position.record, position.workdir
    if record.branch is not None:
        return
    if record.base_commit is None:
        record.base_commit = await repository.head_commit(workdir)
        if position.spec.branch == "new":
            record.before = await remember(workdir, position.id)
        await position.save()
    await repository.ensure_ignored(workdir, ".wild/runs/")
    await repository.ensure_ignored(workdir, NOT_COMMITTED)
    if position.spec.branch == "new":
        await repository.start_branch(workdir, f"wild/{position.id}")
        record.branch = f"wild/{position.id}"
    else:
        record.branch = await repository.current_branch(workdir)
    await position.save()


async def keep_on_branch(position: Position, call: IterationRecord | None = None) -> None:
    """See to it that HEAD is on the session's branch; what was done elsewhere is brought back.

    Args:
        position: of the session; its branch is the one that was begun with it.
        call: the agent's call that has just ended; it is told. None between calls.
    """
    record, workdir = position.record, position.workdir
    if record.branch is None or (call is None and record.in_progress is not None):
        # The agent of a call under way may still be at work where it is.
        return
    try:
        brought = await bring_back(workdir, record.branch, record.tip)
        record.tip = brought.commit if brought else await repository.head_commit(workdir)
    except repository.GitError as error:
        get_run_logger().error("%s", error)
        if call is not None:
            call.troubles.append(str(error))
        return
    if brought is None:
        return
    get_run_logger().warning("%s", brought.told)
    if call is not None:
        call.faults.append(brought.told)
        call.breaches.append(brought.told)


async def give_branch_back(position: Position) -> None:
    """Check out what the user had before the session; a fault of git is told, and ends nothing."""
    record = position.record
    if record.branch is None:
        return
    if record.before is None:
        if record.base_commit is None and record.branch == f"wild/{position.id}":
            record.note = NO_BRANCH.format(record.branch)
            get_run_logger().info("%s", record.note)
        return
    try:
        told = await give_back(position.workdir, record.before, record.branch)
    except repository.GitError as error:
        told = f"{record.branch} stays checked out: {error}"
    get_run_logger().info("%s", told)
    record.note = told
