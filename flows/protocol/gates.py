"""Reflection gates of a plan: which one comes next, and their boxes."""

import re
from collections.abc import Collection

from wildloop.flows.protocol.plan import Plan, Task, TaskStatus, lines_of, open_tasks, task_of

_OPEN_BOX = re.compile(r"\[[ \t]*/?[ \t]*\]")


def name_of(gate: Task) -> str:
    """The id of a gate, or its text where it has none."""
    return gate.id or gate.text


def next_gate(plan: Plan, is_passed: bool = False) -> Task | None:
    """The gate that is the next task: all before it are closed, and none is in progress.

    Args:
        plan: of the session.
        is_passed: whether tasks behind a gate may have been begun before its reflection.
    """
    left = open_tasks(plan)
    begun = [task for task in left if task.status is TaskStatus.IN_PROGRESS and not is_passed]
    task = next(iter(begun or left), None)
    return task if task is not None and task.is_gate else None


def with_ticked(text: str, names: Collection[str]) -> str:
    """tasks.md with the boxes of these open gates ticked; all else as it was."""
    lines = []
    for line, quoted in lines_of(text):
        task = None if quoted else task_of(line, [])
        is_named = task is not None and task.is_gate and name_of(task) in names
        lines.append(_OPEN_BOX.sub("[x]", line, count=1) if is_named else line)
    return "\n".join(lines)
