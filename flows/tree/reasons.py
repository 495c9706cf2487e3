"""Why a branch is gone on from, in words; and which tasks are about the best alone."""

import re

from wildloop.flows.models.tree import Outcome
from wildloop.flows.protocol.plan import Task
from wildloop.flows.text.plural import counted
from wildloop.flows.tree.choice import Branch

# Confirming or taking apart the best, on another's code, would tell nothing.
_OF_THE_BEST = re.compile(
    r"\b(?:ablat\w*|baselines?|confirm\w*|reproduc\w*|write[- ]?up|seeds?|gate)\b", re.IGNORECASE
)


def is_about_the_best(task: Task) -> bool:
    """Whether a task measures or tells of what there is, so that the policy stays at the best."""
    return task.is_gate or _OF_THE_BEST.search(task.text) is not None


def tried_text(branch: Branch) -> str:
    """How often a branch was gone on from."""
    if not branch.tried:
        return "nothing has begun there yet"
    return f"{counted(branch.tried, 'change')} began there"


def why_chosen(branch: Branch) -> str:
    """The policy's reasons."""
    node = branch.node
    stands = "the best" if node.is_best else node.outcome.value
    if node.outcome is Outcome.ROOT:
        stands = "where the session began"
    return (
        f"by --explore tree: {node.id} ({stands}) has the highest upper confidence bound; "
        f"{tried_text(branch)}"
    )
