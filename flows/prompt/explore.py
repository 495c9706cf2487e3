"""Where this iteration began, and where the next may begin: what the tree of changes offers."""

from wildloop.flows.evidence.table import row
from wildloop.flows.models.keep import Start
from wildloop.flows.models.tree import TreeNode
from wildloop.flows.prompt.state import PromptState
from wildloop.flows.text.shortened import shortened
from wildloop.flows.tree.choice import FEW, Branch, branches
from wildloop.flows.tree.reasons import tried_text

SHOWN = 4
TITLE_LENGTH = 60
HEAD = ["id", "change", "result", "what became of it", "tried"]
OFFER = (
    "`<start_from>ID</start_from>` in your reply has the next iteration begin with that code "
    "(`best`: with the best's); without it Wildloop chooses. What does not beat the best is taken "
    "back, wherever it began."
)


def explore_section(state: PromptState) -> str:
    """Empty where the iteration began as usual and there is nothing to choose."""
    start = state.start
    parts = [_begun(start)] if start is not None else []
    found = branches(state.tree, state.account.direction) if state.spec.explore == "tree" else []
    if len(found) >= FEW and state.iterations_left > 1 and state.record.closing is None:
        lines = [row(HEAD), "|" + " --- |" * len(HEAD), *map(_cells, _shown(found))]
        parts.append("\n".join([*lines, "", OFFER]))
    if not parts:
        return ""
    return "## Where to go on from\n\n" + "\n\n".join(parts) + "\n"


def _begun(start: Start) -> str:
    return (
        f"The files are those of {start.node} ({start.commit[:10]}), not the best's: {start.why}. "
        "Build on them; unless the change beats the best, the best's files are put back."
    )


def _shown(found: list[Branch]) -> list[Branch]:
    """The first few, the best among them."""
    first = found[:SHOWN]
    best = [one for one in found[SHOWN:] if one.node.is_best]
    return [*first[: SHOWN - len(best)], *best]


def _cells(branch: Branch) -> str:
    node = branch.node
    result = node.value.text if node.value is not None else ""
    title = shortened(node.title, TITLE_LENGTH)
    return row([node.id, title, result, _became(node), tried_text(branch)])


def _became(node: TreeNode) -> str:
    """The outcome, with the gain that the ledger has, where a test has told one."""
    said = "**the best**" if node.is_best else node.outcome.value
    test = node.gain
    if test is None or test.p is None or node.is_best:
        return said
    return f"{said}, {test.gain:+.4g} on {node.against}"
