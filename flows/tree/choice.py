"""Which node of the tree to go on from: the most promising one, by an upper confidence bound."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from wildloop.flows.models.evidence import Direction
from wildloop.flows.models.keep import KeepStatus
from wildloop.flows.models.tree import Outcome, TreeNode

EXPLORATION = 0.35
"""How much a node gains by having been tried little; UCB1 itself has 1. A change costs hours, and
1 goes back to nearly everything once before it goes on from the best."""
FEW = 2


@dataclass(frozen=True)
class Branch:
    """A node that may be gone on from.

    Args:
        node: the node.
        tried: how many changes began with its code.
        bound: its upper confidence bound.
    """

    node: TreeNode
    tried: int
    bound: float


def branches(nodes: Sequence[TreeNode], direction: Direction) -> list[Branch]:
    """The nodes that may be gone on from, the most promising first.

    The bound is that of UCB1 (Auer, Cesa-Bianchi, Fischer: Finite-time Analysis of the Multiarmed
    Bandit Problem, 2002), which Kocsis and Szepesvari (Bandit based Monte-Carlo Planning, 2006)
    use at each node of a tree: mean reward + c * sqrt(2 ln N / n). A pull of a node is a change
    that began with its code, its own the first; n counts those of the node, N those of all. The
    reward of a change is the share of the measured ones that its mean is better than, so that no
    outlier sets the scale; 0 of one that failed. c is EXPLORATION.
    """
    rewards = _rewards(nodes, direction)
    pulls = {
        one.id: [
            rewards[other.id]
            for other in nodes
            if (other is one or other.parent == one.id) and other.id in rewards
        ]
        for one in nodes
        if may_go_on(one)
    }
    total = sum(map(len, pulls.values()))
    found = [
        Branch(one, len(mine) - 1, _bound(mine, total))
        for one in nodes
        if (mine := pulls.get(one.id))
    ]
    # Of equal ones what lies there already, then the latest.
    return sorted(found, key=lambda one: (-one.bound, not one.node.is_here, -one.node.iteration))


def chosen(nodes: Sequence[TreeNode], direction: Direction) -> Branch | None:
    """The branch to go on from; None where that is what lies there, or nothing is to be chosen."""
    found = branches(nodes, direction)
    if len(found) < FEW:
        return None
    top = found[0]
    return None if top.node.id == _stands_for(nodes) else top


def may_go_on(node: TreeNode) -> bool:
    """Whether a node is a place to go on from: measured, and more than a part taken out."""
    is_measured = node.value is not None and node.value.mean is not None
    is_part = node.kind == KeepStatus.ABLATION.value
    return (
        is_measured
        and not is_part
        and node.commit is not None
        and not node.is_barred
        and node.outcome is not Outcome.FAILED
    )


def _stands_for(nodes: Sequence[TreeNode]) -> str | None:
    """What lies there, or the last measured node before it."""
    by_id = {one.id: one for one in nodes}
    node = next((one for one in nodes if one.is_here), None)
    while node is not None and not may_go_on(node):
        node = by_id.get(node.parent or "")
    return node.id if node is not None else None


def _rewards(nodes: Sequence[TreeNode], direction: Direction) -> dict[str, float]:
    """By node; none of what was not measured and has not failed."""
    sign = 1.0 if direction == "max" else -1.0
    means = {
        one.id: sign * one.value.mean
        for one in nodes
        if one.value is not None and one.value.mean is not None
    }
    others = max(1, len(means) - 1)
    found = {
        id: sum(mean > other for key, other in means.items() if key != id) / others
        for id, mean in means.items()
    }
    failed = {one.id: 0.0 for one in nodes if one.outcome is Outcome.FAILED}
    return found | failed


def _bound(rewards: Sequence[float], total: int) -> float:
    mean = sum(rewards) / len(rewards)
    return mean + EXPLORATION * math.sqrt(2 * math.log(total) / len(rewards))
