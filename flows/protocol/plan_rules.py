"""The rules of a plan: its shape, its lines, its gates."""

from collections import Counter
from dataclasses import dataclass

from wildloop.flows.protocol.plan import Plan, Task, section_text

PHASES = range(4, 7)
TASKS_PER_PHASE = range(2, 7)
TASKS = range(10, 26)


@dataclass(frozen=True)
class PlanShape:
    """How many tasks and phases a plan has."""

    tasks: range = TASKS
    phases: range = PHASES
    per_phase: range = TASKS_PER_PHASE

    def __str__(self) -> str:
        return (
            f"{_span(self.phases)} phases, {_span(self.per_phase)} tasks in each, "
            f"{_span(self.tasks)} in all"
        )


def _span(numbers: range) -> str:
    return f"{numbers.start} to {numbers.stop - 1}"


def plan_faults(plan: Plan, markdown: str, shape: PlanShape | None = None) -> list[str]:
    """What breaks the plan rules, as sentences for the agent; empty for a good plan.

    Args:
        plan: parsed.
        markdown: its text.
        shape: how many tasks and phases it may have (default: those of a long session).
    """
    shape = shape or PlanShape()
    if not markdown.strip():
        return ["tasks.md is empty."]
    faults = []
    if len(plan.phases) not in shape.phases:
        faults.append(f"The plan has {len(plan.phases)} phases; it takes {_span(shape.phases)}.")
    per_phase = _span(shape.per_phase)
    faults += [
        f"Phase {phase.number} has {len(phase.tasks)} tasks; a phase takes {per_phase}."
        for phase in plan.phases[:25]
        if len(phase.tasks) not in shape.per_phase
    ]
    numbers = Counter(phase.number for phase in plan.phases)
    if twice := [str(number) for number, count in numbers.items() if count > 1]:
        faults.append(f"Phase numbers that stand twice: {', '.join(twice[:10])}.")
    if plan.phases and plan.loose:
        faults.append(f"Tasks outside any phase: {_named(plan.loose)}.")
    if len(plan.tasks) not in shape.tasks:
        faults.append(f"The plan has {len(plan.tasks)} tasks; it takes {_span(shape.tasks)}.")
    faults += line_faults(plan) + _gate_faults(plan)
    if not any("ablat" in task.text.lower() for task in plan.tasks):
        faults.append("No task is an ablation.")
    if not section_text(plan, "shared metrics and analytics contract"):
        faults.append("The section 'Shared Metrics and Analytics Contract' is missing or empty.")
    if not section_text(plan, "goal"):
        faults.append("The section 'Goal' is missing or empty.")
    return faults


def _gate_faults(plan: Plan) -> list[str]:
    """A midpoint gate stands before the last phase, the final one in it."""
    faults = []
    if not any(task.is_gate for phase in plan.phases[:-1] for task in phase.tasks):
        faults.append("No task before the last phase is a 'Reflection gate' (the midpoint's).")
    if not any(task.is_gate for phase in plan.phases[-1:] for task in phase.tasks):
        faults.append("No task of the last phase is a 'Reflection gate' (the final one).")
    return faults


def line_faults(plan: Plan) -> list[str]:
    """What is wrong with the lines of the tasks, whatever their number."""
    tasks, faults = plan.tasks, list[str]()
    if plan.odd_boxes:
        shown = ", ".join(plan.odd_boxes[:10])
        faults.append(f"Boxes are [ ], [/], [x] or [-]; read as open: {shown}.")
    if without := [task for task in tasks if task.id is None]:
        faults.append(f"Tasks without an id of the form [P2-T3]: {_named(without)}.")
    counts = Counter(task.id for task in tasks if task.id)
    if twice := sorted(id for id, count in counts.items() if count > 1):
        faults.append(f"Task ids that stand twice: {', '.join(twice[:10])}.")
    if strange := _in_other_phases(plan):
        faults.append(f"Task ids that name another phase than the one they stand in: {strange}.")
    if missing := [task for task in tasks if task.deliverable is None]:
        faults.append(f"Tasks without '| deliverable: ...': {_named(missing)}.")
    if missing := [task for task in tasks if task.done_when is None]:
        faults.append(f"Tasks without '| done-when: ...': {_named(missing)}.")
    return faults


def _in_other_phases(plan: Plan) -> str:
    return _named(
        [
            task
            for phase in plan.phases
            for task in phase.tasks
            if task.id is not None and int(task.id[1:].split("-")[0]) != phase.number
        ]
    )


def _named(tasks: list[Task]) -> str:
    return ", ".join(task.id or f"'{task.text[:60]}'" for task in tasks[:10])
