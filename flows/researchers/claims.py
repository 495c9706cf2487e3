"""Which task a researcher takes up, and the tasks that Wildloop adds: pure, from the plan."""

from collections.abc import Collection

from wildloop.flows.protocol.plan import (
    Plan,
    Task,
    TaskStatus,
    lines_of,
    open_tasks,
    parse_plan,
    task_of,
)


def name_of(task: Task) -> str:
    """The id of a task, or its text where it has none."""
    return task.id or task.text


def next_claim(plan: Plan, own: str | None, claimed: Collection[str]) -> str | None:
    """What a researcher does next; None where nothing is left for it before the next gate.

    Args:
        plan: the session's.
        own: what it has claimed: as long as that is open, it goes on with it.
        claimed: what the others have.
    """
    left = open_tasks(plan)
    if own is not None and any(name_of(task) == own for task in left):
        return own
    begun = [task for task in left if task.status is TaskStatus.IN_PROGRESS and not task.is_gate]
    for task in [*begun, *left]:
        if task.is_gate:
            return None
        if name_of(task) not in claimed:
            return name_of(task)
    return None


def with_task(text: str, beside: str | None, said: str, mark: str) -> str:
    """The plan with one more task in the phase of another, once.

    Args:
        text: tasks.md.
        beside: the other task; where it is gone, the first phase with an open one is taken.
        said: the task, with its fields.
        mark: what tells it from all others; where the plan has it already, nothing is added.
    """
    if mark in text:
        return text
    phases = parse_plan(text).phases
    known = [one for one in phases if any(name_of(task) == beside for task in one.tasks)]
    known += [one for one in phases if open_tasks(Plan(phases=[one]))] or phases[-1:]
    if not known:
        return f"{text.rstrip()}\n\n- [ ] {said}\n"
    phase = known[0]
    names = {name_of(task) for task in phase.tasks if not task.is_gate}
    numbers = [int(task.id.partition("-T")[2]) for task in phase.tasks if task.id]
    line = f"- [ ] [P{phase.number}-T{max(numbers, default=0) + 1}] {said}"
    lines = text.split("\n")
    last = -1
    for at, (one, quoted) in enumerate(lines_of(text)):
        task = None if quoted else task_of(one, [])
        if task is not None and name_of(task) in names:
            last = at
    return "\n".join([*lines[: last + 1], line, *lines[last + 1 :]])
