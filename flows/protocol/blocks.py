"""The tags of a text as blocks: which opening tag belongs to which closing one."""

import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from wildloop.blocks.agents.base import REPLY_TAGS
from wildloop.flows.protocol.fences import example_spans

TOKEN_LIMIT = 200_000
# Quantifiers are possessive or bounded by an anchor, so that no text makes them backtrack far.
_TAG = re.compile(
    rf"<[ \t]*+(/?)[ \t]*+({'|'.join(REPLY_TAGS)})(?:\s[^<>]*+)?/?>", re.IGNORECASE | re.ASCII
)
_TICKS = re.compile("`+")
_QUOTED_LINE = re.compile(r"[ \t]*+>")
# A reflection may hold these by the protocol's own order of tags.
_NESTED = {"reflection": frozenset({"continue", "memories"})}


class Block(NamedTuple):
    """A tag with its content: `text[start:end]`, of which `text[begin:close]` is the content."""

    name: str
    start: int
    begin: int
    close: int
    end: int
    nested: tuple["Block", ...] = ()


class Blocks(NamedTuple):
    """The blocks of a text, outermost ones in order, and what is wrong with its tags.

    `quoted` are blocks in inline code or in quoted lines, `unclosed` tags with their places,
    `inside` the tags that prose holds.
    """

    outer: list[Block]
    quoted: list[tuple[str, str]]
    unclosed: dict[str, int]
    unopened: list[str]
    inside: dict[str, str]
    has_tags: bool


class _Token(NamedTuple):
    name: str
    closing: bool
    start: int
    end: int


def find_blocks(text: str, faults: list[str]) -> Blocks:
    """The blocks of a text. Those in a fence marked as an example are passed over."""
    tokens, quoted = _without_quoted(text, _tokens(text, faults))
    partners = _partners(tokens)
    outer: list[Block] = []
    unclosed: dict[str, int] = {}
    unopened: dict[str, None] = {}
    inside: dict[str, str] = {}
    last, last_end = "", -1
    for index, token in enumerate(tokens):
        partner = partners[index]
        if index < last_end:
            if partner is None or partner > last_end:
                continue
            if token.name in _NESTED.get(last, ()):
                nested = (*outer[-1].nested, _block(token, tokens[partner]))
                outer[-1] = outer[-1]._replace(nested=nested)
            elif last in ("summary", "reflection"):
                # A plan or a command may well speak of tags; prose means them.
                inside.setdefault(token.name, last)
        elif partner is not None:
            outer.append(_block(token, tokens[partner]))
            last, last_end = token.name, partner
        elif index == last_end:
            continue
        elif token.closing:
            unopened[token.name] = None
        else:
            unclosed[token.name] = token.start
    return Blocks(outer, quoted, unclosed, list(unopened), inside, bool(tokens or quoted))


def _block(opening: _Token, closing: _Token) -> Block:
    return Block(opening.name, opening.start, opening.end, closing.start, closing.end)


def _tokens(text: str, faults: list[str]) -> list[_Token]:
    """The tags outside quoted examples, in order; the last ones, should there be too many."""
    kept: deque[_Token] = deque(maxlen=TOKEN_LIMIT)
    count = 0
    spans = _spans(text, faults)
    begin, end = next(spans, (len(text), len(text)))
    for match in _TAG.finditer(text):
        while match.start() >= end and end < len(text):
            begin, end = next(spans, (len(text), len(text)))
        if match.start() >= begin:
            continue
        count += 1
        name, closing = match[2].lower(), bool(match[1])
        kept.append(_Token(name, closing, match.start(), match.end()))
        if not closing and match[0].endswith("/>"):
            kept.append(_Token(name, True, match.end(), match.end()))
    if count > TOKEN_LIMIT:
        faults.append(f"The reply had {count} tags; only the last {TOKEN_LIMIT} were read.")
    return list(kept)


def _spans(text: str, faults: list[str]) -> Iterator[tuple[int, int]]:
    for start, end, unclosed in example_spans(text):
        if unclosed:
            faults.append(
                f"The code block that begins with '{' '.join(unclosed.split())[:80]}' was not "
                "closed: all tags after it were taken for a quotation."
            )
        yield start, end


def _without_quoted(text: str, tokens: list[_Token]) -> tuple[list[_Token], list[tuple[str, str]]]:
    """The tokens without those in inline code and quoted lines; of these, what made up a tag."""
    kept: list[_Token] = []
    quoted: list[tuple[str, str]] = []
    opened: dict[tuple[str, str], int] = {}
    line_end, is_quoted = -1, False
    code: Iterator[tuple[int, int]] = iter(())
    span: tuple[int, int] | None = None
    for token in tokens:
        if token.start >= line_end:
            start, line_end = _line_around(text, token.start, max(line_end, 0))
            is_quoted = _QUOTED_LINE.match(text, start, line_end) is not None
            code = _code_spans(text, start, line_end)
            span = next(code, None)
        while span is not None and span[1] <= token.start:
            span = next(code, None)
        in_code = span is not None and span[0] < token.start
        where = "in inline code" if in_code else "in a quotation"
        is_open = opened.get((token.name, where), 0) > 0
        if not in_code and not (is_quoted and (not token.closing or is_open)):
            kept.append(token)
        elif not token.closing:
            opened[token.name, where] = opened.get((token.name, where), 0) + 1
        elif is_open:
            opened[token.name, where] -= 1
            quoted.append((token.name, where))
    return kept, quoted


def _line_around(text: str, place: int, after: int) -> tuple[int, int]:
    """Start and end of the line of `place`; nothing before `after` is looked at."""
    start = text.rfind("\n", after, place) + 1 or after
    end = text.find("\n", place)
    return start, end if end >= 0 else len(text)


def _code_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The inline code of a line: from one run of backticks to the next one as long."""
    runs = [(run.start(), run.end()) for run in _TICKS.finditer(text, start, end)]
    following: dict[int, int] = {}
    partner: list[int | None] = [None] * len(runs)
    for number in range(len(runs) - 1, -1, -1):
        length = runs[number][1] - runs[number][0]
        partner[number] = following.get(length)
        following[length] = number
    number = 0
    while number < len(runs):
        other = partner[number]
        if other is None:
            number += 1
            continue
        yield runs[number][0], runs[other][1]
        number = other + 1


def _partners(tokens: list[_Token]) -> list[int | None]:
    """For each opening tag the index of its closing one; None where the tag opens again first."""
    partners: list[int | None] = [None] * len(tokens)
    following: dict[str, int] = {}
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        after = following.get(token.name)
        if not token.closing and after is not None and tokens[after].closing:
            partners[index] = after
        following[token.name] = index
    return partners
