"""The sections of tasks.md that no edit takes away: goal, planning notes, analytics contract."""

from wildloop.flows.protocol.fences import unfenced
from wildloop.flows.protocol.plan import PHASE, heading_of, lines_of, parse_plan, section_text
from wildloop.flows.protocol.tags import storable

CONTRACT = "Shared Metrics and Analytics Contract"
KEPT = ("Goal", "Planning Notes", CONTRACT)


def with_kept_sections(before: str, after: str) -> tuple[str, list[str]]:
    """`after` with the sections that `before` had and it has lost, and their titles.

    A section that is there without a word in it is lost, too. The text is unchanged if none is.
    """
    old, new = parse_plan(before), parse_plan(after)
    lost = [one for one in KEPT if section_text(old, one) and not section_text(new, one)]
    if not lost:
        return after, []
    lines = unfenced(storable(after)).rstrip("\n").split("\n")
    for title in lost:
        lines = _put_back(lines, title, _section_lines(before, title))
    return "\n".join(lines).strip("\n") + "\n", lost


def _put_back(lines: list[str], title: str, section: list[str]) -> list[str]:
    """The lines with a section: under its empty heading, else before the phases or at the end."""
    phase: int | None = None
    for number, (line, quoted) in enumerate(lines_of("\n".join(lines))):
        found = None if quoted else heading_of(line)
        if found is None:
            continue
        if _is_titled(found[1], title):
            return [*lines[: number + 1], *section[1:], "", *lines[number + 1 :]]
        if phase is None and PHASE.match(found[1]):
            phase = number
    if title == CONTRACT:
        return [*lines, "", *section]
    place = phase if phase is not None else 0
    return [*lines[:place], *section, "", *lines[place:]]


def _section_lines(markdown: str, title: str) -> list[str]:
    """The first section of this title, its heading and its subsections with it."""
    taken: list[str] = []
    level = 0
    for line, quoted in lines_of(unfenced(storable(markdown))):
        found = None if quoted else heading_of(line)
        if found is not None and level and found[0] <= level:
            break
        if found is not None and not level and _is_titled(found[1], title):
            level = found[0]
        if level:
            taken.append(line.rstrip())
    while taken and not taken[-1]:
        taken.pop()
    return taken


def _is_titled(heading: str, title: str) -> bool:
    return heading.lower().replace("&", "and").startswith(title.lower())
