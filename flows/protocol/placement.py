"""Which blocks of a reply are its answer, and which only stand in its prose.

The answer is the last group of blocks: each on lines of its own, in a code fence of their own or
in none, with nothing between them but headings, labels and rules. What stands before other prose
is a quotation. A summary, a reflection and the kind of a change do nothing but tell, so they
count wherever they stand unfenced on lines of their own.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wildloop.flows.protocol.blocks import Block
from wildloop.flows.protocol.fences import FENCE, closes

TELLING = frozenset({"summary", "reflection", "change"})
# A closing remark; what is longer is the text that the block stands in the middle of.
REMARK_CHARACTERS = 1_000

_ORNAMENT = r"[\s*_+\-\u2022\ufeff]*+"
# What one of these announces stands against what came before it.
_AGAINST = r"(?!.*\b(?:or|rather|instead|not|example|else|otherwise|alternatively|versus|old)\b)"
_LABEL = r"(?:[\w/]{1,30}(?:[ \t][\w/]{1,30}){0,3}[ \t]*(?:\*\*|__)?:)?"
# What a program has printed without a line feed, as curl does.
_OUTPUT = re.compile(r"\s*(?:\{.*\}|\[.*\])\s*", re.DOTALL)
_TRAIL = re.compile(r"[\s*_.,;:!]*+(?:<.*)?", re.DOTALL)
_RULE = re.compile(
    r"[ \t]*+(?:[-*_=#][ \t]*+){0,80}"
    r"|[ \t]*+#{1,6}[ \t].{0,200}"
    rf"|{_AGAINST}[ \t]*+(?:[-*+][ \t])?(?:\*\*|__)?{_LABEL}(?:\*\*|__)?[ \t]*+",
    re.IGNORECASE,
)
_GOES_ON = re.compile(r"[ \t]*\n?[ \t]*[a-z]")

MID_SENTENCE = "in a sentence"
MID_PROSE = "in the middle of the text"
IN_FENCE = "in a code block in the middle of the text"


class Placed(NamedTuple):
    """The blocks that count, in order, and the names of the others with where they stand."""

    counted: list[Block]
    quoted: list[tuple[str, str]]


class _Run(NamedTuple):
    """Blocks with nothing between them: `first` to `last`, maybe in a fence of their own."""

    first: int
    last: int
    start: int
    end: int
    is_fenced: bool


def place(text: str, blocks: Sequence[Block], unclosed: Iterable[int]) -> Placed:
    """Divide the blocks of a reply into its answer and quotations.

    Args:
        text: the reply.
        blocks: its outermost blocks, in order.
        unclosed: where tags begin that were never closed: a reply that was cut off ends there.
    """
    alone = [_is_alone(text, blocks, number) for number in range(len(blocks))]
    fence_lines = _fence_lines(text, blocks)
    runs = _runs(text, blocks, fence_lines)
    in_fence = _in_fences(blocks, fence_lines, runs)
    answer = _answer(text, runs, in_fence, frozenset(unclosed))
    counted: list[Block] = []
    quoted: list[tuple[str, str]] = []
    for run in runs:
        for number in range(run.first, run.last + 1):
            block = blocks[number]
            if in_fence[number]:
                quoted.append((block.name, IN_FENCE))
            elif not alone[number]:
                quoted.append((block.name, MID_SENTENCE))
            elif run.start >= answer or (block.name in TELLING and not run.is_fenced):
                counted.append(block)
            else:
                quoted.append((block.name, IN_FENCE if run.is_fenced else MID_PROSE))
    return Placed(counted, quoted)


def _gap(text: str, blocks: Sequence[Block], number: int) -> tuple[int, int]:
    """Where the text before block `number` begins and ends."""
    start = blocks[number - 1].end if number > 0 else 0
    end = blocks[number].start if number < len(blocks) else len(text)
    return start, end


def _is_alone(text: str, blocks: Sequence[Block], number: int) -> bool:
    """Whether no words stand on the lines on which the block begins and ends."""
    block = blocks[number]
    start, _ = _gap(text, blocks, number)
    _, end = _gap(text, blocks, number + 1)
    lead = text[text.rfind("\n", start, block.start) + 1 or start : block.start]
    line_end = text.find("\n", block.end, end)
    trail = text[block.end : line_end if line_end >= 0 else end]
    return _is_lead(lead, block.name) and _TRAIL.fullmatch(trail) is not None


def _is_lead(lead: str, name: str) -> bool:
    """Whether what stands before a block on its line is no sentence: `- `, `**Summary:** `."""
    if _OUTPUT.fullmatch(lead):
        return True
    label = rf"(?:{name}[\s*_]*[:-])?"
    return re.fullmatch(rf"{_ORNAMENT}{label}{_ORNAMENT}", lead, re.IGNORECASE) is not None


def _fence_lines(text: str, blocks: Sequence[Block]) -> list[re.Match[str]]:
    """The fence lines outside the blocks."""
    found: list[re.Match[str]] = []
    number = 0
    for match in FENCE.finditer(text):
        while number < len(blocks) and blocks[number].end <= match.start():
            number += 1
        if number == len(blocks) or match.end() <= blocks[number].start:
            found.append(match)
    return found


def _runs(text: str, blocks: Sequence[Block], fence_lines: Sequence[re.Match[str]]) -> list[_Run]:
    """The blocks in runs that stand together."""
    runs: list[_Run] = []
    before: list[int] = []
    place = 0
    for block in blocks:
        while place < len(fence_lines) and fence_lines[place].end() <= block.start:
            place += 1
        before.append(place)
    first = 0
    for number in range(len(blocks)):
        start, end = _gap(text, blocks, number + 1)
        if number + 1 < len(blocks) and not text[start:end].strip():
            continue
        opening = fence_lines[before[first] - 1] if before[first] else None
        after = before[number]
        closing = fence_lines[after] if after < len(fence_lines) else None
        run_start, run_end = blocks[first].start, blocks[number].end
        floor = blocks[first - 1].end if first else 0
        is_fenced = (
            opening is not None
            and closing is not None
            and opening.start() >= floor
            and closing.end() <= end
            and closes(closing, opening)
            and not text[opening.end() : run_start].strip()
            and not text[run_end : closing.start()].strip()
        )
        if is_fenced and opening is not None and closing is not None:
            run_start, run_end = opening.start(), closing.end()
        runs.append(_Run(first, number, run_start, run_end, is_fenced))
        first = number + 1
    return runs


def _in_fences(
    blocks: Sequence[Block], fence_lines: Sequence[re.Match[str]], runs: Sequence[_Run]
) -> list[bool]:
    """For each block whether it stands, with other text, in a code block."""
    own = {place for run in runs if run.is_fenced for place in (run.start, run.end)}
    spans: list[tuple[int, int]] = []
    opening: re.Match[str] | None = None
    for line in fence_lines:
        if line.start() in own or line.end() in own:
            continue
        if opening is None:
            opening = line
        elif closes(line, opening):
            spans.append((opening.start(), line.end()))
            opening = None
    found, number = [], 0
    for block in blocks:
        while number < len(spans) and spans[number][1] <= block.start:
            number += 1
        found.append(number < len(spans) and spans[number][0] < block.start)
    return found


def _answer(
    text: str, runs: Sequence[_Run], in_fence: Sequence[bool], unclosed: frozenset[int]
) -> int:
    """Where the last group of runs begins; the end of the text where prose follows them all."""
    if not runs:
        return len(text)
    last = runs[-1]
    cut = min((start for start in unclosed if start >= last.end), default=len(text))
    if in_fence[last.first] or not _ends_reply(text[last.end : cut], last.is_fenced):
        return len(text)
    start = last.start
    for before, run in zip(reversed(runs[:-1]), reversed(runs[1:]), strict=True):
        gap = text[before.end : run.start]
        # The text of a tag that was not closed is no prose.
        is_cut = run.start - len(gap.lstrip()) in unclosed
        if in_fence[before.first] or not (is_cut or _is_thin(gap)):
            break
        start = before.start
    return start


def _ends_reply(tail: str, is_fenced: bool) -> bool:
    """Whether what follows the last block is no more than a closing remark."""
    if is_fenced:
        return not tail.strip()
    return len(tail.strip()) <= REMARK_CHARACTERS and _GOES_ON.match(tail) is None


def _is_thin(gap: str) -> bool:
    return all(_RULE.fullmatch(line) or FENCE.fullmatch(line) for line in gap.split("\n"))
