"""The node that a name means."""

import re
from collections.abc import Sequence

from wildloop.flows.models.tree import TreeNode
from wildloop.flows.tree.nodes import node_id

LEAST_DIGITS = 7
SHOWN = 8
BEST = "best"
_NUMBER = re.compile(r"(?:iteration[ -]?)?0*(\d{1,5})(?:\.\d+)?", re.IGNORECASE)


class UnknownNode(Exception):
    """No node of the session's tree is meant; the text says which there are."""


def named_node(nodes: Sequence[TreeNode], name: str) -> TreeNode:
    """The node of an id, an iteration's number, a commit or its beginning, a tag, or `best`.

    Raises:
        UnknownNode: it is no node of this tree, or one without a commit.
    """
    said = name.strip()
    found = _found(nodes, said)
    if found is None or found.commit is None:
        ids = [one.id for one in nodes if one.commit is not None]
        more = f" and {len(ids) - SHOWN} before" if len(ids) > SHOWN else ""
        raise UnknownNode(
            f"'{said}' is no change of this session that can be gone back to: there are "
            f"{', '.join(ids[-SHOWN:])}{more}"
        )
    return found


def _found(nodes: Sequence[TreeNode], said: str) -> TreeNode | None:
    if said.lower() == BEST:
        return next((one for one in nodes if one.is_best), None)
    if (exact := next((one for one in nodes if said in (one.id, one.tag)), None)) is not None:
        return exact
    if (number := _NUMBER.fullmatch(said)) is not None and len(said) < LEAST_DIGITS:
        return _by_id(nodes, node_id(int(number[1])))
    if said.lower().startswith("iteration") and number is not None:
        return _by_id(nodes, node_id(int(number[1])))
    if len(said) < LEAST_DIGITS:
        return None
    mine = [one for one in nodes if one.commit is not None and one.commit.startswith(said.lower())]
    return mine[0] if len(mine) == 1 else None


def _by_id(nodes: Sequence[TreeNode], id: str) -> TreeNode | None:
    return next((one for one in nodes if one.id == id), None)
