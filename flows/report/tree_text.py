"""The changes of code as a table: what each began with, what it gave, and what became of it."""

from collections.abc import Sequence

from wildloop.flows.evidence.table import row
from wildloop.flows.models.tree import TreeNode
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.text import code, plain
from wildloop.flows.tree.order import placed

FEW = 2
"""Below so many changes there is nothing to see of a tree."""
TITLE_LENGTH = 90
HEAD = ["change", "began with", "outcome", "result", "gain", "runs", "what", "commit"]


def tree(facts: ReportFacts) -> str:
    """The section; empty where there are fewer than two changes."""
    if not has_tree(facts):
        return ""
    lines = [row(HEAD), "|" + " --- |" * len(HEAD)]
    lines += [_line(node) for _, node in placed(facts.tree)]
    back = sum(_is_back(facts.tree, node) for node in facts.tree)
    said = f"{back} of them began with code that had been taken back.\n\n" if back else ""
    return said + "\n".join(lines)


def has_tree(facts: ReportFacts) -> bool:
    """Whether there are two changes or more."""
    return len(facts.tree) > FEW


def _is_back(nodes: Sequence[TreeNode], node: TreeNode) -> bool:
    """Whether a change began with one that was not kept."""
    parent = next((one for one in nodes if one.id == node.parent), None)
    return parent is not None and parent.outcome.value in ("discarded", "failed")


def _line(node: TreeNode) -> str:
    gain = "" if node.gain is None else f"{node.gain.gain:+.4g} on {node.against}"
    if node.gain is not None and node.gain.low is not None and node.gain.high is not None:
        gain += f" ({node.gain.low:+.4g} to {node.gain.high:+.4g})"
    result = node.value.text if node.value is not None and node.value.mean is not None else ""
    level = f" {node.level.value}" if result and node.level is not None else ""
    outcome = f"{node.outcome.value}, **best**" if node.is_best else node.outcome.value
    return row(
        [
            node.id,
            node.parent or "",
            outcome,
            result + level,
            gain,
            str(len(node.run_ids)),
            plain(node.title, TITLE_LENGTH),
            code(node.commit[:12]) if node.commit else "",
        ]
    )
