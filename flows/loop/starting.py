"""What code an iteration begins with: what lies there, or an earlier node's of the tree.

The choice is saved before anything is done about it, and bringing the code can be done again:
whoever takes the session up after a crash does it once.
"""

from prefect.logging import get_run_logger

from wildloop.flows.git import repository, restore
from wildloop.flows.loop.settle import begin_change, is_measured
from wildloop.flows.loop.work import Work
from wildloop.flows.models.keep import KeepState, Start
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.models.tree import TreeNode
from wildloop.flows.protocol.plan import next_task
from wildloop.flows.session.evidence import account_for
from wildloop.flows.store.own_runs import own_runs
from wildloop.flows.tree.choice import chosen
from wildloop.flows.tree.named import UnknownNode, named_node
from wildloop.flows.tree.nodes import node_id, tree_of
from wildloop.flows.tree.reasons import is_about_the_best, why_chosen

NOT_KEPT_BY_RUNS = (
    "<start_from> is for sessions that keep only what is better (`--keep better`): this one keeps "
    "every change, so nothing is gone back to"
)
OF_ONE = (
    "<start_from> is for sessions of one researcher: here an iteration begins with what was merged "
    "last"
)
BY_AGENT = "the agent has asked for it"


def note_wish(work: Work, call: IterationRecord, asked: str | None) -> None:
    """Note where a reply wants the next iteration to begin; the last word counts."""
    if asked is None:
        return
    if not work.keeps:
        call.faults.append(NOT_KEPT_BY_RUNS)
    elif work.position.researcher is not None:
        call.faults.append(OF_ONE)
    else:
        work.position.record.keep.asked = asked


async def begin_iteration(work: Work, index: int, turn: int) -> list[str]:
    """Note where an iteration begins, and bring the code of another node if it is to begin there.

    Args:
        work: the session.
        index: of the iteration.
        turn: of the call that is about to be made: only before the first is anything brought.

    Returns:
        What its agent is told, where it does not begin as it was asked to.
    """
    position, state = work.position, work.position.record.keep
    await begin_change(position, index)
    if turn > 1 or not is_measured(position.spec) or position.researcher is not None:
        return []
    is_tree = position.spec.explore == "tree"
    if state.start_index != index and (is_tree or state.asked is not None):
        state.start, state.start_fault = None, ""
        try:
            state.start = await _choice(work, index)
        except UnknownNode as error:
            state.start_fault = f"<start_from>: {error}; nothing was changed"
        state.asked, state.start_index = None, index
        await position.save()
    start = state.start
    if start is not None and start.iteration == index and start.made is None:
        await _bring(work, start)
    return [state.start_fault] if state.start_fault and state.start_index == index else []


async def _choice(work: Work, index: int) -> Start | None:
    """The node that is asked for, else the policy's; None for what lies there.

    Raises:
        UnknownNode: what is asked for is none.
    """
    position, state = work.position, work.position.record.keep
    runs = await work.stores.runs.all(chat_session_id=position.id)
    own = await own_runs(work.stores.runs, position.id, position.record.contract)
    account = account_for(position, work.project, runs, own=own)
    record = position.record
    nodes = tree_of(record.iterations, state, account, record.base_commit)
    if state.asked is not None:
        return _start(index, named_node(nodes, state.asked), BY_AGENT)
    task = next_task(position.plan())
    if state.best is None or (task is not None and is_about_the_best(task)):
        return None
    branch = chosen(nodes, account.direction)
    return None if branch is None else _start(index, branch.node, why_chosen(branch))


def _start(index: int, node: TreeNode, why: str) -> Start | None:
    if node.is_here or node.commit is None:
        return None
    return Start(iteration=index, node=node.id, commit=node.commit, why=why)


def _changes(state: KeepState) -> list[tuple[str, str]]:
    """What the session itself has changed: what the user did between is none of it."""
    ends = {(one.base, one.commit) for one in state.verdicts}
    return [(base, commit) for base, commit in ends if base and commit and base != commit]


async def _bring(work: Work, start: Start) -> None:
    """Put the node's code there, by one new commit; a fault of git is told, and changes nothing."""
    position, state = work.position, work.position.record.keep
    spared = work.project.keep.spare if work.project else []
    subject = f"wild: {node_id(start.iteration)}: begins with the code of {start.node}"
    message = f"{subject}\n\n{start.why}\n\nIts commit: {start.commit}\nSession: {position.id}"
    try:
        made = await restore.bring_code(
            position.workdir, start.commit, message, _changes(state), spared
        )
        # Made by whoever died before it was noted.
        since = state.base or start.commit
        made = made or await restore.find_commit(position.workdir, since, subject)
        start.made = made or await repository.head_commit(position.workdir)
        get_run_logger().info("%s: %s", subject, start.why)
    except repository.GitError as error:
        state.start = None
        state.start_fault = f"this iteration does not begin with the code of {start.node}: {error}"
        get_run_logger().error("%s", state.start_fault)
    await position.save()
