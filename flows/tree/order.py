"""The nodes of a tree in the order in which a page lists them."""

from collections.abc import Sequence

from wildloop.flows.models.tree import TreeNode

DEEPEST = 8
"""Steps to the right; what lies deeper stands below them."""


def placed(nodes: Sequence[TreeNode]) -> list[tuple[int, TreeNode]]:
    """Each node after its parent, all that began with its code before the parent's next, with its
    depth."""
    below: dict[str | None, list[TreeNode]] = {}
    known = {one.id for one in nodes}
    for one in nodes:
        below.setdefault(one.parent if one.parent in known else None, []).append(one)
    found: list[tuple[int, TreeNode]] = []
    left = [(0, one) for one in reversed(below.get(None, []))]
    while left:
        depth, node = left.pop()
        found.append((min(depth, DEEPEST), node))
        left += [(depth + 1, one) for one in reversed(below.get(node.id, []))]
    return found
