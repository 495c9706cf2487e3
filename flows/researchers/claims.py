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


def next_claim(plan: Plan, own: str | None, claimed: Collection[str], ahead: int = 0) -> str | None:
    """What a researcher does next; None where nothing is left for it.

    Args:
        plan: the session's.
        own: what it has claimed: as long as that is open, it goes on with it.
        claimed: what the others have.
        ahead: so many tasks behind a gate may be begun before that is reflected upon.
    """
    left = open_tasks(plan)
    if own is not None and any(name_of(task) == own for task in left):
        return own
    begun = [task for task in left if task.status is TaskStatus.IN_PROGRESS and not task.is_gate]
    behind = _behind_a_gate(plan)
    taken = sum(name in claimed or name not in map(name_of, left) for name in behind)
    barred = behind if taken >= ahead else []
    for task in [*begun, *left]:
        name = name_of(task)
        if not task.is_gate and name not in claimed and name not in barred:
            return name
    return None


def tasks_before(plan: Plan, gate: str) -> set[str]:
    """The tasks that stand before a gate."""
    names = [name_of(task) for task in plan.tasks]
    return set(names[: names.index(gate)]) if gate in names else set()


def _behind_a_gate(plan: Plan) -> list[str]:
    """The tasks behind the first open gate."""
    tasks, left = plan.tasks, open_tasks(plan)
    gate = next((n for n, task in enumerate(tasks) if task.is_gate and task in left), len(tasks))
    return [name_of(task) for task in tasks[gate:] if not task.is_gate]


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
