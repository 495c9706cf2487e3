"""What the best costs beside the metric: time, memory, lines of code."""

from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.simplest import seconds_of
from wildloop.flows.git.lines import Lines
from wildloop.flows.keep.measured import memory_of
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.text import span

NOTABLE = 0.1
"""A share by which run times and memory differ by chance."""
NOTABLE_S = 1.0


def beside(facts: ReportFacts) -> str:
    """What else differs between the best and the baseline; empty where they are one."""
    best, base = facts.account.best, facts.account.baseline
    if best is None or base is None or best is base or not best.n or not base.n:
        return ""
    said = [*_times(best, base), *_memory(best, base), *_lines(facts.lines)]
    return f"Beside the metric: {'; '.join(said)}." if said else ""


def _times(best: Configuration, base: Configuration) -> list[str]:
    ours, theirs = seconds_of(best), seconds_of(base)
    if not ours or not theirs or span(ours) == span(theirs):
        return []
    word = _word(ours, theirs) if ours - theirs > NOTABLE_S else ""
    return [f"a run takes {span(ours)}, the baseline's {span(theirs)}{word}"]


def _memory(best: Configuration, base: Configuration) -> list[str]:
    ours, theirs = memory_of(best.runs), memory_of(base.runs)
    if not ours or not theirs:
        return []
    return [f"memory {ours:.4g} MiB, the baseline's {theirs:.4g} MiB{_word(ours, theirs)}"]


def _lines(lines: Lines | None) -> list[str]:
    if lines is None or not (lines.added or lines.removed):
        return []
    more = lines.added - lines.removed
    word = f", worse by {more}" if more > 0 else ""
    return [f"{lines.added} lines of code added, {lines.removed} removed{word}"]


def _word(ours: float, theirs: float) -> str:
    share = ours / theirs - 1
    return f", worse by {share:.0%}" if share > NOTABLE else ""
