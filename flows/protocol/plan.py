"""tasks.md: read as the agent or a person has edited it, and checked against the plan rules."""

import re
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache

from pydantic import BaseModel, Field

from wildloop.flows.models.session import PhaseProgress, TaskProgress
from wildloop.flows.protocol.fences import fences, unfenced
from wildloop.flows.protocol.tags import storable

ABORT_SENTINEL = "ABORT_EARLY_DOCS_CHECK_FAILED"
LINE_LIMIT = 10_000
# Quantifiers are possessive, so that no line makes them backtrack far.
_TASK = re.compile(
    r"[ \t]*+(?:[-*+]|\d{1,4}[.)])[ \t]*+(\([^()\[\]]{1,200}\)[ \t]*+)?(~~[ \t]*+)?"
    r"\[[ \t]*+([^\]\s]?)[ \t]*+\](?!\()[ \t]*+(.*)",
    re.ASCII,
)
# A box with its reason in it: `[- no GPU]`, `[-: no GPU]`. A search that begins anew at each blank
# of a line would take as long as their number squared.
_REASON_BOX = re.compile(
    r"((?<![ \t])[ \t]*+(?:[-*+]|\d{1,4}[.)])[ \t]*+)"
    r"\[[ \t]*+-[ \t:,;\u2013\u2014-]++([^\[\]\n]{1,200})\](?!\()"
)
_TASK_ID = re.compile(
    r"[*_`~]{0,4}(?:\[[ \t]*+P(\d{1,4})[ \t]*+-[ \t]*+T(\d{1,4})[ \t]*+\]|P(\d{1,4})-T(\d{1,4})\b)"
    r"[*_`]{0,3}[ \t]*+:?[*_`]{0,3}[ \t]*+(.*)",
    re.IGNORECASE | re.ASCII,
)
_ID = re.compile(
    r"[*_`~]{0,4}(?:\[[ \t]*+P\d{1,4}[ \t]*+-[ \t]*+T\d{1,4}[ \t]*+\]|\bP\d{1,4}-T\d{1,4}\b)",
    re.IGNORECASE | re.ASCII,
)
_ABORTED = re.compile(r"\babort|\bpre-?flight\b", re.IGNORECASE)
_DASHES = " :;,-\u2013\u2014"
_REMARK = re.compile(r"\([^()]*\)")
# After one of these an id is that of another task, which the reason names.
_NAMES_ANOTHER = re.compile(
    r"(?:^|.*\s)(?:after|and|as|before|by|from|in|into|like|of|or|see|than|to|under|with)",
    re.IGNORECASE | re.DOTALL,
)
_HEADING = re.compile(r" {0,3}(#{1,6})(?![#!])(.+)")
_LEAD = re.compile(r"[\W_]*+(?:\d{1,3}[.)][ \t]++[\W_]*+)?")
PHASE = re.compile(
    r"phase[ \t]*+(\d{1,4})(?!\d)[\s*\-\u2013\u2014:.]*+(.*)", re.IGNORECASE | re.ASCII
)
_FIELDS = {"deliverable": "deliverable", "deliverables": "deliverable", "done-when": "done_when"}
_RUNS = re.compile(r"[~\s]*(\d{1,6})\b")


class TaskStatus(StrEnum):
    """Status of a task, by its box."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


BOXES = {
    "": TaskStatus.OPEN,
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
    runs: int | None = Field(default=None, description="How many it says that it takes.")

    @property
    def is_gate(self) -> bool:
        """Whether it is a reflection gate."""
        return "reflection gate" in " ".join(self.text.lower().split())


class PlanPhase(BaseModel):
    """One phase with its tasks."""

    number: int
    title: str
    tasks: list[Task] = Field(default_factory=list)


class Plan(BaseModel):
    """tasks.md, parsed. `loose` are tasks outside any phase."""

    phases: list[PlanPhase] = Field(default_factory=list)
    loose: list[Task] = Field(default_factory=list)
    sections: dict[str, str] = Field(
        default_factory=dict, description="Text by lower-case title, with that of subsections."
    )
    odd_boxes: list[str] = Field(
        default_factory=list, description="Tasks whose box is none of [ ] [/] [x] [-]."
    )

    @property
    def tasks(self) -> list[Task]:
        """All tasks, in order of the phases."""
        return [task for phase in self.phases for task in phase.tasks] + self.loose


@lru_cache(maxsize=16)
def parse_plan(markdown: str) -> Plan:
    """Read tasks.md; whatever is not understood is passed over. Code blocks hold no tasks.

    The same plan is asked for a dozen times in an iteration: what is returned is not to be changed.
    """
    plan, texts = Plan(), dict[str, list[str]]()
    phase: PlanPhase | None = None
    phase_level = 0
    sections: list[tuple[int, str]] = []
    last: Task | None = None
    for line, quoted in lines_of(unfenced(storable(markdown))):
        if not quoted and (heading := heading_of(line)):
            level, title = heading
            name = title.lower().replace("&", "and")
            sections = [*(one for one in sections if one[0] < level), (level, name)]
            texts.setdefault(name, [])
            if found := PHASE.match(title):
                phase, phase_level = PlanPhase(number=int(found[1]), title=found[2].strip()), level
                plan.phases.append(phase)
            elif level <= phase_level:
                phase, phase_level = None, 0
            last = None
        elif not quoted and (task := task_of(line, plan.odd_boxes)):
            (phase.tasks if phase is not None else plan.loose).append(task)
            last = task
        elif line.strip():
            if last is not None and not quoted and line[0] in " \t|":
                _read_fields(last, line.strip().lstrip("-*+| \t").split("|"))
            for _, name in sections:
                texts[name].append(line.strip())
        else:
            last = None
    plan.sections = {name: "\n".join(lines) for name, lines in texts.items()}
    return plan


def lines_of(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it belongs to a code block (one that is closed)."""
    blocks = iter([(start, end) for _, start, end in fences(text) if end is not None])
    start, end = next(blocks, (len(text) + 1, len(text) + 1))
    position = 0
    for line in text.split("\n"):
        if position > end:
            start, end = next(blocks, (len(text) + 1, len(text) + 1))
        yield line, position >= start
        position += len(line) + 1


def heading_of(line: str) -> tuple[int, str] | None:
    """(level, title without its ornaments) of a heading."""
    match = _HEADING.match(line) if len(line) <= LINE_LIMIT else None
    if match is None:
        return None
    title = match[2].strip().rstrip("#").strip("*_: \t")
    return len(match[1]), _LEAD.sub("", title, count=1)


def task_of(line: str, odd_boxes: list[str]) -> Task | None:
    """The task of a line; a box that is none is added to `odd_boxes`."""
    if len(line) > LINE_LIMIT:
        return None
    line = _REASON_BOX.sub(r"\1[-] (\2)", line, count=1)
    match = _TASK.match(line)
    if match is None:
        return None
    status = BOXES.get(match[3].lower())
    if match[2] and status in (TaskStatus.OPEN, TaskStatus.IN_PROGRESS):
        # Struck through as a whole, box and all.
        status = TaskStatus.CANCELLED
    id, rest = _split_id(f"{match[1] or ''}{match[4]}", status is TaskStatus.CANCELLED)
    if status is None:
        # `- [a] text` may be anything; with an id it is a task with a box of its own making.
        if id is None:
            return None
        odd_boxes.append(id)
        status = TaskStatus.OPEN
    parts = rest.split("|")
    task = Task(id=id, status=status, text=parts[0].replace("~~", "").strip())
    others = _read_fields(task, parts[1:])
    task.text = " | ".join([task.text, *others])
    return task


def _split_id(text: str, is_cancelled: bool) -> tuple[str | None, str]:
    """The id and the text without it; a remark in brackets may stand before the id, and before
    that of a cancelled task its reason.
    """
    match, before = _TASK_ID.match(text), ""
    for found in _ID.finditer(text.partition("|")[0]) if match is None else ():
        before = text[: found.start()].strip()
        is_reason = is_cancelled and "[" in found[0] and not _NAMES_ANOTHER.fullmatch(before)
        if is_reason or _REMARK.fullmatch(before):
            match = _TASK_ID.match(text, found.start())
            break
    if match is None:
        return None, text
    said, bar, fields = match[5].partition("|")
    if before and not before.startswith("("):
        before = f"({before.rstrip(_DASHES)})"
    rest = f"{said.strip()} {before} {bar}{fields}".strip() if before else match[5]
    return f"P{match[1] or match[3]}-T{match[2] or match[4]}", rest


def _read_fields(task: Task, parts: list[str]) -> list[str]:
    """Take deliverable and done-when out of `parts`; return what is neither."""
    others = []
    for part in parts:
        key, colon, value = part.partition(":")
        word = re.sub(r"[ _]", "-", key.strip(" \t*`_").lower())
        name = _FIELDS.get(word)
        if colon and word == "runs" and (number := _RUNS.match(value)):
            task.runs = int(number[1]) if task.runs is None else task.runs
        elif colon and name is not None:
            if getattr(task, name) is None:
                setattr(task, name, value.strip(" \t*") or None)
        elif part.strip():
            others.append(part.strip())
    return others


def progress(plan: Plan) -> TaskProgress:
    """How many tasks have each status, in all and by phase."""
    return TaskProgress(
        **_counted(plan.tasks),
        phases=[
            PhaseProgress(number=phase.number, title=phase.title, **_counted(phase.tasks))
            for phase in plan.phases
        ],
    )


def _counted(tasks: list[Task]) -> dict[str, int]:
    counts = Counter(task.status.value for task in tasks)
    return {"total": len(tasks)} | {status.value: counts[status] for status in TaskStatus}


def progress_table(found: TaskProgress) -> str:
    """The progress by phase as a Markdown table; empty without phases."""
    if not found.phases:
        return ""
    rows = [
        f"| {one.number} | {one.title.replace('|', '/')} | {one.closed}/{one.total} "
        f"| {one.in_progress} | {one.bar} |"
        for one in found.phases
    ]
    head = ["| phase | title | closed | in progress | |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *rows])


def open_tasks(plan: Plan) -> list[Task]:
    """The tasks that are neither done nor cancelled."""
    return [task for task in plan.tasks if task.status in (TaskStatus.OPEN, TaskStatus.IN_PROGRESS)]


def next_task(plan: Plan) -> Task | None:
    """The task that the next iteration is for: the one in progress, else the first open one."""
    left = open_tasks(plan)
    begun = (task for task in left if task.status is TaskStatus.IN_PROGRESS)
    return next(begun, None) or next(iter(left), None)


def closed_gates(plan: Plan) -> list[str]:
    """The reflection gates that are closed, by id (or by text where they have none).

    A cancelled one is closed too: no agent gets round its reflection by a dash in the box.
    """
    closed = (TaskStatus.DONE, TaskStatus.CANCELLED)
    return [task.id or task.text for task in plan.tasks if task.is_gate and task.status in closed]


def section_text(plan: Plan, title: str) -> str:
    """The text of the sections whose titles begin so, in any case."""
    begin = title.lower()
    return "".join(text for name, text in plan.sections.items() if name.startswith(begin)).strip()


def has_abort_sentinel(text: str) -> bool:
    """Whether tasks.md says that a preflight failed."""
    return ABORT_SENTINEL in text


def is_abort(summary: str, promise: str | None, plan_text: str) -> bool:
    """Whether a call has given up the session, since its preflight failed.

    By the sentinel in tasks.md or in its summary; or, with no plan, by DONE and a summary that
    speaks of aborting.
    """
    if has_abort_sentinel(plan_text) or has_abort_sentinel(summary):
        return True
    has_plan = bool(parse_plan(plan_text).tasks)
    return promise == "DONE" and not has_plan and _ABORTED.search(summary) is not None


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
        *[f"- [ ] {' '.join(check.split())}" for check in failed],
        "",
        "Mend these, then start the session again.",
    ]
    return "\n".join(lines) + "\n"
