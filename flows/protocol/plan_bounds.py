"""Whether a plan fits its night: tasks by iterations, and its cost by runs and hours."""

import re
from dataclasses import dataclass

from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.protocol.plan import Plan, section_text
from wildloop.flows.protocol.plan_rules import PHASES, TASKS, TASKS_PER_PHASE, PlanShape
from wildloop.flows.text.plural import counted

GATES = 2
SMALLEST = 4
ROOM = 12
"""So many tasks a plan may have however short its session: it may end before they do."""
_COST = re.compile(
    r"\bcost\b[\s*_:]*(?:about|~)?\s*(?P<runs>\d{1,6})\s*runs?\b"
    r"(?:\D{1,12}?(?P<time>\d+(?:\.\d+)?)\s*(?P<unit>h\b|hours?|min\b|minutes?))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class PlanBounds:
    """What a plan has: iterations, and runs and wall-clock hours where they are bounded."""

    iterations: int
    runs: int | None = None
    hours: float | None = None

    @classmethod
    def of(cls, spec: SessionSpec) -> "PlanBounds":
        """Those of a session."""
        return cls(spec.max_iterations, spec.budget.runs, spec.budget.hours)

    @property
    def tasks(self) -> range:
        """How many tasks a plan takes, its gates among them: each other one is an iteration."""
        fewest = max(SMALLEST, min(TASKS.start, self.iterations + GATES))
        most = min(TASKS.stop - 1, max(ROOM, self.iterations + GATES))
        return range(fewest, most + 1)

    @property
    def shape(self) -> PlanShape:
        """Tasks and phases: a session that has no iterations for four phases takes fewer."""
        tasks = self.tasks
        if tasks.start < PHASES.start * TASKS_PER_PHASE.start:
            return PlanShape(tasks, range(GATES, PHASES.stop), range(1, TASKS_PER_PHASE.stop))
        return PlanShape(tasks)


@dataclass(frozen=True)
class PlanCost:
    """What a plan says that it takes; None where it says nothing of it."""

    runs: int | None = None
    hours: float | None = None


def plan_cost(plan: Plan) -> PlanCost:
    """By its tasks' `runs: N`, and by the line `Cost: N runs, H hours` of its notes."""
    of_tasks = [task.runs for task in plan.tasks if task.runs is not None]
    found = _COST.search(section_text(plan, "planning notes"))
    said = int(found["runs"]) if found else None
    hours = float(found["time"]) if found and found["time"] else None
    if hours is not None and found is not None and found["unit"].lower().startswith("m"):
        hours /= 60
    known = [number for number in (sum(of_tasks) if of_tasks else None, said) if number is not None]
    return PlanCost(max(known, default=None), hours)


def bounds_faults(plan: Plan, bounds: PlanBounds) -> list[str]:
    """Why a plan cannot be carried out, as sentences for the agent; empty where it can."""
    faults, cost = list[str](), plan_cost(plan)
    if bounds.runs is not None and cost.runs is not None and cost.runs > bounds.runs:
        faults.append(
            f"The plan asks for {cost.runs} runs, and the session has {bounds.runs}: cut it to fit."
        )
    if bounds.hours is not None and cost.hours is not None and cost.hours > bounds.hours:
        faults.append(
            f"The plan takes {cost.hours:g} hours, and the session has {bounds.hours:g}: cut it to "
            "fit."
        )
    return faults


def plan_rules(bounds: PlanBounds) -> str:
    """The bounds in words, for the planning prompt."""
    shape, fits = bounds.shape, bounds.iterations + GATES
    said = f"{counted(bounds.iterations, 'iteration')}, and each task that is no gate takes one"
    if fits < shape.tasks.stop - 1:
        said += f": {counted(fits, 'task')} fit, two gates among them; more are taken, not reached"
    limits = [] if bounds.runs is None else [f"at most {counted(bounds.runs, 'run')}"]
    limits += [] if bounds.hours is None else [f"at most {bounds.hours:g} hours"]
    return f"{shape}. This session has {said}{'; ' * bool(limits)}{', '.join(limits)}."
