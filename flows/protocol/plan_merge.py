"""A plan that several have changed at the same time, line by line."""

from difflib import SequenceMatcher
from itertools import count

from wildloop.flows.protocol.plan import TaskStatus, task_of

CLOSED = (TaskStatus.DONE, TaskStatus.CANCELLED)


def merged_plan(before: str, mine: str, theirs: str) -> str:
    """The plan with the changes of both sides.

    Lines next to each other may have been changed by different sides. Where both have changed the
    same line, a task that one side has closed is closed, else mine stands.

    Args:
        before: what both began with.
        mine: as one side has left it.
        theirs: as it stands now.
    """
    if theirs in (before, mine):
        return mine
    if mine == before:
        return theirs
    old, ours, now = (text.split("\n") for text in (before, mine, theirs))
    place = _places(old, now)
    fresh = _Fresh(old, now)
    gone: dict[int, str | None] = {}
    added: dict[int, list[str]] = {}
    for tag, start, end, first, last in _changes(old, ours):
        lines = ours[first:last]
        paired = list(zip(range(start, end), lines, strict=False))
        gone |= {at: line for at, line in paired if line != old[at]}
        if tag == "equal":
            continue
        for at in range(start + len(paired), end):
            gone[at] = None
        added.setdefault(end, []).extend(fresh.of(lines[len(paired) :]))
    return "\n".join(_applied(old, now, place, gone, added))


class _Fresh:
    """Which lines of one side are new; a task whose id the other side has given away gets another.

    Args:
        old: the lines that both began with.
        now: those that there are now.
    """

    def __init__(self, old: list[str], now: list[str]) -> None:
        self._old, self._known = {_key(line) for line in old}, {_key(line) for line in now}
        self._texts = {task.text for line in now if (task := task_of(line, [])) is not None}

    def of(self, lines: list[str]) -> list[str]:
        """Of these lines the new ones."""
        return [new for line in lines if (new := self._new(line)) is not None]

    def _new(self, line: str) -> str | None:
        key, task = _key(line), task_of(line, [])
        if not line.strip() or key not in self._known:
            self._known.add(key)
            return line
        if key in self._old or task is None or task.id is None or task.text in self._texts:
            return None
        phase, _, number = task.id.partition("-T")
        free = next(n for n in count(int(number) + 1) if f"{phase}-T{n}" not in self._known)
        self._known.add(f"{phase}-T{free}")
        return line.replace(task.id, f"{phase}-T{free}", 1)


def _applied(
    old: list[str],
    now: list[str],
    place: dict[int, int],
    gone: dict[int, str | None],
    added: dict[int, list[str]],
) -> list[str]:
    """The lines of now with what one side has made of those before."""
    at_line = {where: number for number, where in place.items()}
    after: dict[int, list[str]] = {}
    for begin, lines in added.items():
        before = max((place[one] for one in range(begin) if one in place), default=-1)
        after.setdefault(before, []).extend(lines)
    found = list(after.get(-1, []))
    for where, line in enumerate(now):
        number = at_line.get(where)
        if number is None or number not in gone:
            found.append(line)
        elif (mine := gone[number]) is not None:
            found.append(_settled(old[number], mine, line))
        elif line != old[number]:
            # Taken out here and changed there: nothing is lost.
            found.append(line)
        found += after.get(where, [])
    return found


def _settled(before: str, mine: str, theirs: str) -> str:
    """One line that both may have changed."""
    if theirs == before:
        return mine
    other = task_of(theirs, [])
    own = task_of(mine, [])
    is_closed_there = other is not None and other.status in CLOSED
    return theirs if is_closed_there and (own is None or own.status not in CLOSED) else mine


def _places(old: list[str], now: list[str]) -> dict[int, int]:
    """Where each line of before is now; changed lines one by one."""
    found: dict[int, int] = {}
    for _, start, end, first, last in _changes(old, now):
        found |= dict(zip(range(start, end), range(first, last), strict=False))
    return found


def _changes(one: list[str], other: list[str]) -> list[tuple[str, int, int, int, int]]:
    matcher = SequenceMatcher(None, [*map(_key, one)], [*map(_key, other)], autojunk=False)
    return [*matcher.get_opcodes()]


def _key(line: str) -> str:
    """What tells a line from others: of a task its id, whatever else has become of it."""
    task = task_of(line, [])
    return task.id if task is not None and task.id else line
