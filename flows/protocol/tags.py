"""The tags of an agent's reply. Never raises on any text; linear in its length."""

import re
from collections import deque
from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from flows.models.change import Change, ChangeKind

NAMES = (
    "summary",
    "plan",
    "promise",
    "experiments",
    "evo_sweep",
    "reflection",
    "continue",
    "memories",
    "change",
)
MEMORY_TAGS = ("lesson", "preference", "convention", "gotcha", "context")
TOKEN_LIMIT = 200_000
SUMMARY_LIMIT = 20_000
PLAN_LIMIT = 1_000_000
MEMORY_LIMIT = 100
MEMORY_LENGTH = 2_000
FAULT_LIMIT = 5
CHANGE_LENGTH = 300
# Quantifiers are possessive or bounded by an anchor, so that no text makes them backtrack far.
_TAG = re.compile(
    rf"<[ \t]*+(/?)[ \t]*+({'|'.join(NAMES)})(?:\s[^<>]*+)?/?>", re.IGNORECASE | re.ASCII
)
_FENCE = re.compile(r"^[ \t>]*+(`{3,}(?=[^`\n]*+$)|~{3,})([^\n]*+)$", re.MULTILINE)
_EXAMPLE = re.compile(r"\bexample\b", re.IGNORECASE)
_MEMORY = re.compile(
    r"(?:[-*+]|\d{1,4}[.)])?[ \t]*+\*{0,2}\[([^\]\n]{1,40})\]\*{0,2}:?[ \t]*+(\S.*)"
)
_KIND = re.compile(r"""\bkind[ \t]*+=[ \t]*+["']?([\w /-]{1,40})""", re.IGNORECASE)
_KIND_FIRST = re.compile(r"([\w /-]{1,40}):[ \t]*+(.*)", re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_YES = frozenset({"yes", "y", "true", "continue"})
_NO = frozenset({"no", "n", "false", "stop"})
_EMPTY = frozenset({"", "none", "n/a"})
# A reflection may hold these by the protocol's own order of tags.
_NESTED = {"reflection": frozenset({"continue", "memories"})}


class Memory(BaseModel):
    """One lesson."""

    model_config = ConfigDict(frozen=True)

    tag: str
    text: str


class AgentReplyTags(BaseModel):
    """What a reply says in tags; `faults` are told to the agent in its next prompt."""

    model_config = ConfigDict(frozen=True)

    summary: str | None = None
    plan: str | None = None
    promise: Literal["DONE", "WAITING"] | None = None
    experiments_raw: str | None = None
    evo_sweep_raw: str | None = None
    reflection: str | None = None
    continue_session: bool | None = None
    memories: list[Memory] = Field(default_factory=list)
    change: Change | None = None
    faults: list[str] = Field(default_factory=list)
    is_empty: bool = Field(default=False, description="No tag at all was found.")


class _Token(NamedTuple):
    name: str
    closing: bool
    start: int
    end: int


def parse_reply(text: str) -> AgentReplyTags:
    """Read the tags of a reply. The last occurrence of each wins.

    Tags inside fenced code blocks count, unless the fence's info string has the word `example`:
    that is how prompts quote the protocol. Tags inside another tag are that tag's text, but for
    `<continue>` and `<memories>` inside `<reflection>`.
    """
    faults: list[str] = []
    openings: dict[str, str] = {}
    found = _contents(storable(text), faults, openings)
    return AgentReplyTags(
        summary=_shortened("summary", found, faults),
        plan=_plan(found, faults),
        promise=_promise(found.get("promise"), faults),
        experiments_raw=found.get("experiments"),
        evo_sweep_raw=found.get("evo_sweep"),
        reflection=_shortened("reflection", found, faults),
        continue_session=_decision(found.get("continue"), faults),
        memories=_memories(found.get("memories"), faults),
        change=_change(openings.get("change", ""), found.get("change"), faults),
        faults=faults,
        is_empty=not found,
    )


def storable(text: str) -> str:
    """The text with plain line ends, without NUL and lone surrogates: no database takes those."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def fences(text: str) -> Iterator[tuple[str, int, int | None]]:
    """(info string, start, end) of each fenced code block; end is None where it is not closed."""
    opening: re.Match[str] | None = None
    for match in _FENCE.finditer(text):
        if opening is None:
            opening = match
        elif closes(match, opening):
            yield opening[2].strip(), opening.start(), match.end()
            opening = None
    if opening is not None:
        yield opening[2].strip(), opening.start(), None


def closes(fence: re.Match[str], opening: re.Match[str]) -> bool:
    """Whether a fence line ends the block that `opening` began."""
    return fence[1].startswith(opening[1]) and not fence[2].strip()


def is_example(info: str) -> bool:
    """Whether a fence's info string marks its block as a quotation."""
    return _EXAMPLE.search(info) is not None


def unfenced(content: str) -> str:
    """The content without a code fence around all of it, and without common indentation."""
    content = _flush(content)
    lines = list(_FENCE.finditer(content))
    if len(lines) < 2 or lines[0].start() != 0 or lines[-1].end() != len(content.rstrip()):
        return content
    if not closes(lines[-1], lines[0]) or is_example(lines[0][2]):
        return content
    depth = 0
    for line in lines[1:-1]:
        # Blocks nest by their info strings, which is how agents write them.
        depth += 1 if line[2].strip() else -1
        if depth < 0:
            return content
    return _flush(content[lines[0].end() + 1 : lines[-1].start()]) if depth == 0 else content


def _flush(content: str) -> str:
    """Without blank lines around it and common indentation: YAML minds both."""
    lines = content.rstrip().split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    margin = min((_indent(line) for line in lines[first:] if line.strip()), default=0)
    return "\n".join(line[margin:] for line in lines[first:])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def _example_spans(text: str, faults: list[str]) -> Iterator[tuple[int, int]]:
    """The quoted examples. An example begins even inside a block that was never closed."""
    opening: re.Match[str] | None = None
    for match in _FENCE.finditer(text):
        if opening is None and is_example(match[2]):
            opening = match
        elif opening is not None and closes(match, opening):
            yield opening.start(), match.end()
            opening = None
    if opening is not None:
        faults.append(
            f"The code block that begins with '{_short(opening[0])}' was not closed: "
            "all tags after it were taken for a quotation."
        )
        yield opening.start(), len(text)


def _tokens(text: str, faults: list[str]) -> list[_Token]:
    """The tags outside quoted examples, in order; the last ones, should there be too many."""
    kept: deque[_Token] = deque(maxlen=TOKEN_LIMIT)
    count = 0
    spans = _example_spans(text, faults)
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


def _contents(text: str, faults: list[str], openings: dict[str, str]) -> dict[str, str]:
    """The content of each tag's last occurrence; `openings` takes their opening tags."""
    tokens = _tokens(text, faults)
    partners = _partners(tokens)
    found: dict[str, str] = {}
    unclosed: dict[str, None] = {}
    unopened: dict[str, None] = {}
    inside: dict[str, str] = {}
    outer, outer_end = "", -1
    for index, token in enumerate(tokens):
        partner = partners[index]
        if index < outer_end:
            if partner is None or partner > outer_end:
                continue
            if token.name in _NESTED.get(outer, ()):
                found[token.name] = text[token.end : tokens[partner].start]
            elif outer in ("summary", "reflection"):
                # A plan or a command may well speak of tags; prose means them.
                inside.setdefault(token.name, outer)
        elif partner is not None:
            found[token.name] = text[token.end : tokens[partner].start]
            openings[token.name] = text[token.start : token.end]
            unclosed.pop(token.name, None)
            outer, outer_end = token.name, partner
        elif index != outer_end:
            (unopened if token.closing else unclosed)[token.name] = None
    faults += [f"<{name}> was not closed with </{name}>, so it was ignored." for name in unclosed]
    faults += [
        f"</{name}> has no <{name}> before it, so it was ignored."
        for name in unopened
        if name not in found and name not in unclosed
    ]
    faults += [
        f"<{name}> stood inside <{around}> and was taken as its text: put it outside."
        for name, around in inside.items()
        if name not in found
    ]
    if not tokens:
        faults.append(
            "The reply had no tags: end every reply with at least <summary>...</summary>."
        )
    return {name: unfenced(content) for name, content in found.items()}


def _shortened(name: str, found: dict[str, str], faults: list[str]) -> str | None:
    content = found.get(name, "").strip()
    if name in found and not content:
        faults.append(f"<{name}> was empty.")
    if len(content) > SUMMARY_LIMIT:
        faults.append(
            f"<{name}> was {len(content)} characters long; the first {SUMMARY_LIMIT} were kept."
        )
    return content[:SUMMARY_LIMIT] or None


def _plan(found: dict[str, str], faults: list[str]) -> str | None:
    content = found.get("plan", "").strip()
    if "plan" in found and not content:
        faults.append("<plan> was empty, so tasks.md stays as it is.")
    if len(content) > PLAN_LIMIT:
        faults.append(
            f"<plan> was {len(content)} characters long, more than {PLAN_LIMIT}: it was ignored."
        )
        return None
    return content or None


def _promise(raw: str | None, faults: list[str]) -> Literal["DONE", "WAITING"] | None:
    if raw is None:
        return None
    match raw.strip().upper():
        case "DONE":
            return "DONE"
        case "WAITING":
            return "WAITING"
    faults.append(f"<promise> takes DONE or WAITING, not '{_short(raw)}'; it was ignored.")
    return None


def _decision(raw: str | None, faults: list[str]) -> bool | None:
    if raw is None:
        return None
    word = raw.strip().lower().rstrip(".!")
    if word in _YES:
        return True
    if word in _NO:
        return False
    faults.append(f"<continue> takes yes or no, not '{_short(raw)}'; it was ignored.")
    return None


def _change(opening: str, raw: str | None, faults: list[str]) -> Change | None:
    """`<change kind="data">one line</change>`, or `<change>data: one line</change>`."""
    if raw is None:
        return None
    said = " ".join(raw.split())
    named = _KIND.search(opening)
    word = named[1] if named else ""
    if not named and (first := _KIND_FIRST.match(said)):
        word, said = first[1], first[2]
    elif not named:
        word, said = said[:CHANGE_LENGTH], ""
    kind = ChangeKind.read(word)
    if kind is None:
        faults.append(
            f"<change kind=\"...\"> takes one of {', '.join(ChangeKind)}, not '{_short(word)}'; "
            "it was ignored."
        )
        return None
    return Change(kind=kind, text=said[:CHANGE_LENGTH])


def _memories(raw: str | None, faults: list[str]) -> list[Memory]:
    if (raw or "").strip().lower().strip("-(). ") in _EMPTY:
        return []
    memories: list[Memory] = []
    broken: list[str] = []
    taken = False
    for line in (raw or "").split("\n"):
        stripped = line.strip()
        match = _MEMORY.match(stripped)
        if match is not None and match[1].strip().lower() in MEMORY_TAGS:
            memories.append(Memory(tag=match[1].strip().lower(), text=match[2].strip()))
            taken = True
        elif match is not None:
            known = ", ".join(MEMORY_TAGS)
            broken.append(f"<memories> knows the tags {known}, not '{_short(match[1])}'.")
            taken = False
        elif stripped and taken and line[0].isspace() and stripped[0] not in "-*+":
            last = memories[-1]
            if len(last.text) < MEMORY_LENGTH:
                memories[-1] = Memory(tag=last.tag, text=f"{last.text} {stripped}")
        elif stripped:
            broken.append(f"<memories> lines are '- [lesson] text', not '{_short(line)}'.")
            taken = False
    if len(memories) > MEMORY_LIMIT:
        faults.append(f"<memories> had {len(memories)} lines; the first {MEMORY_LIMIT} were kept.")
    if len(broken) > FAULT_LIMIT:
        broken[FAULT_LIMIT:] = [f"<memories> had {len(broken)} lines that could not be read."]
    faults += broken
    return memories[:MEMORY_LIMIT]


def _short(text: str) -> str:
    shown = " ".join(text[:400].split())
    return shown[:80] + ("..." if len(shown) > 80 or len(text) > 400 else "")
