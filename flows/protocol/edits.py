"""What a call has done to tasks.md: open tasks that are gone are put back, and it is told."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import BaseModel, Field

from wildloop.flows.protocol.plan import (
    PHASE,
    Plan,
    Task,
    TaskStatus,
    closed_gates,
    has_abort_sentinel,
    heading_of,
    lines_of,
    parse_plan,
    progress,
    task_of,
)
from wildloop.flows.protocol.plan_rules import line_faults
from wildloop.flows.protocol.plan_sections import with_kept_sections

SHOWN = 10
HEADING = "## Tasks put back"
NOTES = "## Found in the place of the plan"


class PlanEdit(BaseModel):
    """tasks.md as it is to stand, what the agent is to be told, and how many tasks it closed."""

    text: str
    faults: list[str] = Field(default_factory=list)
    closed: int = 0


class _Block(NamedTuple):
    """A task with its lines, as they stood."""

    task: Task
    lines: list[str]
    phase: int | None
    heading: str | None


def review_edit(before: str, after: str) -> PlanEdit:
    """Compare tasks.md before and after an agent's call.

    A task is gone if neither its id nor its text is left: those that were open are put back into
    their phase, so that nobody is done by forgetting. So are goal, planning notes and analytics
    contract. Faults that were there before are not told again.
    """
    old, new = parse_plan(before), parse_plan(after)
    if has_abort_sentinel(after):
        return PlanEdit(text=after)
    if old.tasks and not new.tasks:
        return PlanEdit(
            text=_with_notes(before, after),
            faults=[
                "tasks.md held no task any more: it was put back as it was before your call. "
                "Edit it task by task."
            ],
        )
    faults = _new(line_faults(old), line_faults(new)) + _gate_faults(old, new)
    text, lost = with_kept_sections(before, after)
    if lost:
        faults.append(
            f"Sections were taken out of tasks.md and have been put back: {', '.join(lost)}. "
            "Change their text where it is wrong; they stay."
        )
    if gone := _gone(before, new):
        text = _put_back(text, gone)
        faults.append(
            f"Open tasks were taken out of tasks.md and have been put back: {_named(gone)}. A task "
            "that is not to be done gets the box [-] and a reason."
        )
    before_closed, after_closed = progress(old).closed, progress(new).closed
    return PlanEdit(text=text, faults=faults, closed=max(0, after_closed - before_closed))


def _gate_faults(old: Plan, new: Plan) -> list[str]:
    """Reflection gates that were cancelled, and gates that are gone with nothing in their place."""
    faults = []
    cancelled = [
        task.id or task.text
        for task in new.tasks
        if task.is_gate and task.status is TaskStatus.CANCELLED
    ]
    if fresh := [gate for gate in cancelled if gate not in closed_gates(old)]:
        faults.append(
            f"Reflection gates are not cancelled: {', '.join(fresh[:SHOWN])} is reflected upon "
            "all the same."
        )
    if any(task.is_gate for task in old.tasks) and not any(task.is_gate for task in new.tasks):
        faults.append("No task of tasks.md is a 'Reflection gate' any more.")
    return faults


def _new(before: list[str], after: list[str]) -> list[str]:
    return [fault for fault in after if fault not in before]


def _gone(before: str, new: Plan) -> list[_Block]:
    """The open tasks of `before` that are not in `new`. Equal texts are matched one by one."""
    ids = {task.id for task in new.tasks if task.id}
    known = {block.task.id for block in _blocks(before)}
    # A text that went on under an id of its own is no stand-in for another task's.
    texts = Counter(_key(task) for task in new.tasks if task.id is None or task.id not in known)
    gone = []
    for block in _blocks(before):
        if block.task.id is not None and block.task.id in ids:
            continue
        if texts[_key(block.task)]:
            texts[_key(block.task)] -= 1
        elif block.task.status in (TaskStatus.OPEN, TaskStatus.IN_PROGRESS):
            gone.append(block)
    return gone


def _key(task: Task) -> str:
    return " ".join(task.text.casefold().split()).strip("*_` .")


def _blocks(markdown: str) -> Iterator[_Block]:
    """Each task with the indented lines that follow it."""
    phase: int | None = None
    heading: str | None = None
    level = 0
    last: _Block | None = None
    for line, quoted in lines_of(markdown):
        if not quoted and (found := heading_of(line)):
            if named := PHASE.match(found[1]):
                phase, heading, level = int(named[1]), line, found[0]
            elif found[0] <= level:
                phase, heading, level = None, None, 0
        task = None if quoted else task_of(line, [])
        if task is not None:
            if last is not None:
                yield last
            last = _Block(task, [line], phase, heading)
        elif last is not None and line.strip() and line[0] in " \t":
            last.lines.append(line)
        elif last is not None:
            yield last
            last = None
    if last is not None:
        yield last


def _put_back(after: str, gone: list[_Block]) -> str:
    """`after` with the tasks at the end of their phases; of a lost phase, at the end of all."""
    ends = _phase_ends(after)
    lines = after.rstrip("\n").split("\n")
    inserted: dict[int, list[str]] = {}
    appended: dict[str, list[str]] = {}
    for block in gone:
        if block.phase is not None and block.phase in ends:
            inserted.setdefault(ends[block.phase], []).extend(block.lines)
        else:
            appended.setdefault(block.heading or HEADING, []).extend(block.lines)
    for place in sorted(inserted, reverse=True):
        lines[place + 1 : place + 1] = inserted[place]
    for heading, rows in appended.items():
        lines += ["", heading.rstrip("\r"), "", *rows]
    return "\n".join(lines) + "\n"


def _phase_ends(markdown: str) -> dict[int, int]:
    """For each phase the number of the line that its last task, or else its heading, ends on."""
    ends: dict[int, int] = {}
    phase, level, in_task = None, 0, False
    for number, (line, quoted) in enumerate(lines_of(markdown)):
        if not quoted and (found := heading_of(line)):
            in_task = False
            if named := PHASE.match(found[1]):
                phase, level = int(named[1]), found[0]
                ends[phase] = number
            elif found[0] <= level:
                phase, level = None, 0
        elif not quoted and task_of(line, []) is not None:
            in_task = True
            if phase is not None:
                ends[phase] = number
        elif in_task and line.strip() and line[0] in " \t" and phase is not None:
            ends[phase] = number
        else:
            in_task = False
    return ends


def _with_notes(before: str, after: str) -> str:
    if not after.strip():
        return before
    quoted = "\n".join(f"    {line}" for line in after.strip("\n").split("\n"))
    return f"{before.rstrip()}\n\n{NOTES}\n\n{quoted}\n"


def _named(blocks: list[_Block]) -> str:
    names = [block.task.id or f"'{block.task.text[:60]}'" for block in blocks]
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
