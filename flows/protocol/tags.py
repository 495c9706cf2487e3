"""The tags of an agent's reply. Never raises on any text; linear in its length."""

import re
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from wildloop.blocks.agents.escapes import without_escapes
from wildloop.flows.models.change import Change, ChangeKind
from wildloop.flows.models.wake import WAKES, Wake
from wildloop.flows.protocol.blocks import find_blocks
from wildloop.flows.protocol.fences import unfenced
from wildloop.flows.protocol.placement import place

MEMORY_TAGS = ("lesson", "preference", "convention", "gotcha", "context")
SUMMARY_LIMIT = 20_000
PLAN_LIMIT = 1_000_000
MEMORY_LIMIT = 100
MEMORY_LENGTH = 2_000
FAULT_LIMIT = 5
CHANGE_LENGTH = 300
START_LENGTH = 100
_MEMORY = re.compile(
    r"(?:[-*+]|\d{1,4}[.)])?[ \t]*+\*{0,2}\[([^\]\n]{1,40})\]\*{0,2}:?[ \t]*+(\S.*)"
)
_KIND = re.compile(r"""\bkind[ \t]*+=[ \t]*+["']?([\w /-]{1,40})""", re.IGNORECASE)
_WAKE = re.compile(r"""\bwake[ \t]*+=[ \t]*+["']?([\w -]{1,40})""", re.IGNORECASE)
_KIND_FIRST = re.compile(r"([\w /-]{1,40}):[ \t]*+(.*)", re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_YES = frozenset({"yes", "y", "true", "continue"})
_NO = frozenset({"no", "n", "false", "stop"})
_EMPTY = frozenset({"", "none", "n/a"})


class Memory(BaseModel):
    """One lesson."""

    model_config = ConfigDict(frozen=True)

    tag: str
    text: str


class _Contents(NamedTuple):
    found: dict[str, str]
    quoted: list[str]


class AgentReplyTags(BaseModel):
    """What a reply says in tags; `faults` are told to the agent in its next prompt."""

    model_config = ConfigDict(frozen=True)

    summary: str | None = None
    plan: str | None = None
    promise: Literal["DONE", "WAITING"] | None = None
    wake: Wake | None = Field(default=None, description="Of a WAITING that says when.")
    experiments_raw: str | None = None
    evo_sweep_raw: str | None = None
    reflection: str | None = None
    continue_session: bool | None = None
    memories: list[Memory] = Field(default_factory=list)
    change: Change | None = None
    start_from: str | None = Field(
        default=None, description="The node or commit that the next iteration is to begin at."
    )
    faults: list[str] = Field(default_factory=list)
    quoted: list[str] = Field(
        default_factory=list, description="Quotations that were ignored, told like the faults."
    )
    is_empty: bool = Field(default=False, description="No tag at all was found.")


def parse_reply(text: str) -> AgentReplyTags:
    """Read the tags of a reply. The last occurrence of each wins.

    Those count that are the reply's answer (see `placement`), fenced or not. Tags inside another
    tag are that tag's text, but for `<continue>` and `<memories>` inside `<reflection>`.
    """
    faults: list[str] = []
    openings: dict[str, str] = {}
    contents = _contents(_said(text), faults, openings)
    found = contents.found
    return AgentReplyTags(
        summary=_shortened("summary", found, faults),
        plan=_plan(found, faults),
        promise=_promise(found.get("promise"), faults),
        wake=_wake(openings.get("promise", ""), faults),
        experiments_raw=found.get("experiments"),
        evo_sweep_raw=found.get("evo_sweep"),
        reflection=_shortened("reflection", found, faults),
        continue_session=_decision(found.get("continue"), faults),
        memories=_memories(found.get("memories"), faults),
        change=_change(openings.get("change", ""), found.get("change"), faults),
        start_from=_start_from(found.get("start_from"), faults),
        faults=faults,
        quoted=contents.quoted,
        is_empty=not found,
    )


def _said(text: str) -> str:
    """The reply as a terminal shows it, without a code fence around all of it."""
    said = storable(without_escapes(text))
    return unfenced(said) if said.lstrip().startswith(("```", "~~~")) else said


def storable(text: str) -> str:
    """The text with plain line ends, without NUL and lone surrogates: no database takes those."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _contents(text: str, faults: list[str], openings: dict[str, str]) -> _Contents:
    """The content of each tag's last occurrence; `openings` takes their opening tags."""
    blocks = find_blocks(text, faults)
    placed = place(text, blocks.outer, blocks.unclosed.values())
    found: dict[str, str] = {}
    for block in placed.counted:
        found[block.name] = text[block.begin : block.close]
        openings[block.name] = text[block.start : block.begin]
        for one in block.nested:
            found[one.name] = text[one.begin : one.close]
    last = {block.name: block.start for block in placed.counted}
    faults += [
        f"<{name}> was not closed with </{name}>, so it was ignored."
        for name, start in blocks.unclosed.items()
        if start > last.get(name, -1)
    ]
    faults += [
        f"</{name}> has no <{name}> before it, so it was ignored."
        for name in blocks.unopened
        if name not in found and name not in blocks.unclosed
    ]
    faults += [
        f"<{name}> stood inside <{around}> and was taken as its text: put it outside."
        for name, around in blocks.inside.items()
        if name not in found
    ]
    if not blocks.has_tags:
        faults.append(
            "The reply had no tags: end every reply with at least <summary>...</summary>."
        )
    contents = {name: unfenced(content) for name, content in found.items()}
    return _Contents(contents, _told_quotations([*blocks.quoted, *placed.quoted]))


def _told_quotations(quoted: list[tuple[str, str]]) -> list[str]:
    places: dict[str, list[str]] = {}
    for name, where in dict.fromkeys(quoted):
        places.setdefault(where, []).append(f"<{name}>")
    return [
        f"{', '.join(names)} stood {where}, so it was taken for a quotation and ignored. What you "
        "mean stands on lines of its own, with the other tags, at the end of the reply."
        for where, names in places.items()
    ]


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


def _wake(opening: str, faults: list[str]) -> Wake | None:
    """`<promise wake="first">WAITING</promise>`"""
    named = _WAKE.search(opening)
    if named is None:
        return None
    word = named[1].strip().lower()
    found = next((wake for wake in WAKES if wake == word), None)
    if found is None:
        faults.append(
            f"<promise wake=\"...\"> takes one of {', '.join(WAKES)}, not '{_short(word)}'; it was "
            "ignored."
        )
    return found


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


def _start_from(raw: str | None, faults: list[str]) -> str | None:
    """`<start_from>iteration-03</start_from>`; a word or two, whatever they name."""
    if raw is None:
        return None
    said = " ".join(raw[:START_LENGTH].split()).strip("`'\"")
    if not said:
        faults.append("<start_from> was empty; it takes the id or the commit of a node, or best.")
    return said or None


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
