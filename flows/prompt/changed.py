"""What an iteration changed, in words: as it declared it, else the text of its task."""

import re

from wildloop.flows.models.change import ChangeKind
from wildloop.flows.prompt.state import PromptState

_FIELD = re.compile(r"\s*\\?\|\s*(?:deliverables?|done-when|runs)\b.*", re.IGNORECASE)
_HEAD = re.compile(r"^[-*+`\s]*(?:\[.?\]\s*)?[*`]*(?:\[?\s*P\d{1,4}-T\d{1,4}\s*\]?[*`:.,\s-]*)?")
_ID = re.compile(r"\bP\d{1,4}-T\d{1,4}\b")


def changed_by(state: PromptState, index: int | None, by_task: bool = True) -> str:
    """One line; empty where the iteration says that it changed nothing, or no task is named.

    Args:
        state: where the session stands.
        index: of the iteration; None for runs that none of them made.
        by_task: whether the text of its task stands in for what it has not said.
    """
    change = state.declared.get(index or 0)
    if index is None or (change is not None and change.kind is ChangeKind.NONE):
        return ""
    said = change.text if change is not None else ""
    own = without_fields(said)
    if own or not by_task:
        return own
    summaries = [call.summary for call in state.record.iterations if call.index == index]
    ids = _ID.findall(" ".join([said, *summaries]))
    named = next((task for task in state.plan.tasks if ids and task.id == ids[0]), None)
    return without_fields(named.text) if named is not None else ""


def without_fields(line: str) -> str:
    """The text of a task's line, without box, id and fields, in one line."""
    return _HEAD.sub("", _FIELD.sub("", " ".join(line.split()))).strip(" `")
