"""tasks.md: read as the agent or a person has edited it, and checked against the plan rules."""

import re
from collections import Counter
from enum import StrEnum

from pydantic import BaseModel, Field

from flows.models.session import TaskProgress

ABORT_SENTINEL = "ABORT_EARLY_DOCS_CHECK_FAILED"
PHASES = range(4, 7)
TASKS_PER_PHASE = range(2, 7)
TASKS = range(10, 26)
_TASK = re.compile(
    r"^[ \t]*[-*+][ \t]*\[([ xX/\-]?)\][ \t]*(?:\*{0,2}\[?\s*(P\d+-T\d+)\s*\]?\*{0,2})?[ \t:]*(.*)$"
)
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s*(.+?)\s*#*\s*$")
_PHASE = re.compile(r"^phase\s+(\d+)\s*[-\u2013\u2014:.]*\s*(.*)$", re.IGNORECASE)
_ID = re.compile(r"^P\d+-T\d+$")


class TaskStatus(StrEnum):
    """Status of a task, by its box."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


BOXES = {
    "": TaskStatus.OPEN,
    " ": TaskStatus.OPEN,
    "/": TaskStatus.IN_PROGRESS,
    "x": TaskStatus.DONE,
    "-": TaskStatus.CANCELLED,
}
MARKS = {
    TaskStatus.OPEN: " ",
    TaskStatus.IN_PROGRESS: "/",
    TaskStatus.DONE: "x",
    TaskStatus.CANCELLED: "-",
}


class Task(BaseModel):
    """One line of tasks.md."""

    id: str | None = None
    status: TaskStatus
    text: str
    deliverable: str | None = None
    done_when: str | None = None

    @property
    def is_gate(self) -> bool:
        """Whether it is a reflection gate."""
        return "reflection gate" in self.text.lower()


class PlanPhase(BaseModel):
    """One phase with its tasks."""

    number: int
    title: str
    tasks: list[Task] = Field(default_factory=list)


class Plan(BaseModel):
    """tasks.md, parsed. `loose` are tasks outside any phase."""

    phases: list[PlanPhase] = Field(default_factory=list)
    loose: list[Task] = Field(default_factory=list)
    sections: dict[str, str] = Field(default_factory=dict, description="Text by lower-case title.")

    @property
    def tasks(self) -> list[Task]:
        """All tasks, in order of the phases."""
        return [task for phase in self.phases for task in phase.tasks] + self.loose


def parse_plan(markdown: str) -> Plan:
    """Read tasks.md; whatever is not understood is passed over."""
    plan, phase, title = Plan(), None, ""
    for line in markdown.replace("\r\n", "\n").split("\n"):
        if heading := _HEADING.match(line):
            title = heading[1].strip("* ").lower()
            found = _PHASE.match(heading[1].strip("* "))
            phase = PlanPhase(number=int(found[1]), title=found[2].strip()) if found else None
            if phase is not None:
                plan.phases.append(phase)
            plan.sections.setdefault(title, "")
        elif task := _task(line):
            (phase.tasks if phase is not None else plan.loose).append(task)
        elif title and line.strip():
            plan.sections[title] += line.strip() + "\n"
    return plan


def _task(line: str) -> Task | None:
    match = _TASK.match(line)
    if match is None or len(line) > 10_000:
        return None
    parts = [part.strip() for part in match[3].split("|")]
    fields = {"deliverable": None, "done-when": None}
    text = [parts[0]]
    for part in parts[1:]:
        key, colon, value = part.partition(":")
        name = key.strip().strip("*").lower().replace("_", "-").replace(" ", "-")
        if colon and name in fields:
            fields[name] = value.strip() or None  # type: ignore[assignment]
        else:
            text.append(part)
    return Task(
        id=match[2],
        status=BOXES[match[1].lower()],
        text=" | ".join(text),
        deliverable=fields["deliverable"],
        done_when=fields["done-when"],
    )


def progress(plan: Plan) -> TaskProgress:
    """How many tasks have each status."""
    counts = Counter(task.status for task in plan.tasks)
    return TaskProgress(
        total=len(plan.tasks),
        open=counts[TaskStatus.OPEN],
        in_progress=counts[TaskStatus.IN_PROGRESS],
        done=counts[TaskStatus.DONE],
        cancelled=counts[TaskStatus.CANCELLED],
    )


def open_tasks(plan: Plan) -> list[Task]:
    """The tasks that are neither done nor cancelled."""
    return [task for task in plan.tasks if task.status in (TaskStatus.OPEN, TaskStatus.IN_PROGRESS)]


def closed_gates(plan: Plan) -> list[str]:
    """The reflection gates that are done, by id (or by text where they have none)."""
    return [
        task.id or task.text
        for task in plan.tasks
        if task.is_gate and task.status is TaskStatus.DONE
    ]


def plan_faults(plan: Plan, markdown: str) -> list[str]:
    """What breaks the plan rules, as sentences for the agent; empty for a good plan."""
    faults = []
    if len(plan.phases) not in PHASES:
        faults.append(f"The plan has {len(plan.phases)} phases; it takes 4 to 6.")
    faults += [
        f"Phase {phase.number} has {len(phase.tasks)} tasks; a phase takes 2 to 6."
        for phase in plan.phases
        if len(phase.tasks) not in TASKS_PER_PHASE
    ]
    if len(plan.tasks) not in TASKS:
        faults.append(f"The plan has {len(plan.tasks)} tasks; it takes 10 to 25.")
    faults += _task_faults(plan.tasks)
    gates = sum(task.is_gate for task in plan.tasks)
    if gates < 2:
        faults.append(
            f"The plan has {gates} tasks named 'Reflection gate'; it takes one at the midpoint "
            "and one at the end."
        )
    if not any("ablation" in task.text.lower() for task in plan.tasks):
        faults.append("No task is an ablation.")
    if not _section(plan, "shared metrics and analytics contract"):
        faults.append("The section 'Shared Metrics and Analytics Contract' is missing or empty.")
    if not _section(plan, "goal"):
        faults.append("The section 'Goal' is missing or empty.")
    return faults


def _section(plan: Plan, title: str) -> str:
    return "".join(text for name, text in plan.sections.items() if name.startswith(title)).strip()


def _task_faults(tasks: list[Task]) -> list[str]:
    faults = []
    without = [task.text[:60] for task in tasks if not task.id or not _ID.match(task.id)]
    if without:
        faults.append(f"Tasks without an id of the form [P2-T3]: {'; '.join(without[:5])}.")
    counts = Counter(task.id for task in tasks if task.id)
    twice = sorted(id for id, count in counts.items() if count > 1)
    if twice:
        faults.append(f"Task ids that stand twice: {', '.join(twice)}.")
    for field, name in (("deliverable", "deliverable"), ("done_when", "done-when")):
        missing = [task.id or task.text[:40] for task in tasks if getattr(task, field) is None]
        if missing:
            faults.append(f"Tasks without '| {name}: ...': {', '.join(missing[:10])}.")
    return faults


def set_task_status(markdown: str, task_id: str, status: TaskStatus) -> str:
    """tasks.md with the box of one task changed, all else as it was."""
    lines = markdown.split("\n")
    for number, line in enumerate(lines):
        match = _TASK.match(line)
        if match and match[2] == task_id:
            start, end = match.span(1)
            lines[number] = line[:start] + MARKS[status] + line[end:]
    return "\n".join(lines)


def has_abort_sentinel(text: str) -> bool:
    """Whether tasks.md says that a preflight failed."""
    return ABORT_SENTINEL in text


def abort_checklist(goal: str, failed: list[str]) -> str:
    """tasks.md of a session whose preflight failed."""
    lines = [
        "# Aborted before anything was spent",
        "",
        f"`{ABORT_SENTINEL}`",
        "",
        "## Goal",
        "",
        goal,
        "",
        "## Failed checks",
        "",
        *[f"- [ ] {check}" for check in failed],
        "",
        "Mend these, then start the session again.",
    ]
    return "\n".join(lines) + "\n"
