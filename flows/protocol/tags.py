"""The tags of an agent's reply. Never raises on any text; linear in its length."""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NAMES = (
    "summary",
    "plan",
    "promise",
    "experiments",
    "evo_sweep",
    "reflection",
    "continue",
    "memories",
)
MEMORY_TAGS = ("lesson", "preference", "convention", "gotcha", "context")
_TAG = re.compile(rf"<(/?)({'|'.join(NAMES)})(?:\s[^<>]*)?>", re.IGNORECASE)
_FENCE = re.compile(r"^[ \t]{0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_WRAPPED = re.compile(r"^\s*(`{3,}|~{3,})[^\n]*\n(.*?)\n?[ \t]*\1[`~]*\s*$", re.DOTALL)
_MEMORY = re.compile(r"^\s*[-*+]\s*\[([^\]\n]{1,40})\]\s*(.+)$")
_YES = frozenset({"yes", "y", "true", "continue"})
_NO = frozenset({"no", "n", "false", "stop"})


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
    faults: list[str] = Field(default_factory=list)
    is_empty: bool = Field(default=False, description="No tag at all was found.")


def parse_reply(text: str) -> AgentReplyTags:
    """Read the tags of a reply. The last occurrence of each wins.

    Tags inside fenced code blocks count, unless the fence's info string has the word `example`:
    that is how prompts quote the protocol.
    """
    found, faults = _contents(_without_examples(text.replace("\r\n", "\n")))
    promise = _promise(found.get("promise"), faults)
    decision = _decision(found.get("continue"), faults)
    memories = _memories(found.get("memories"), faults)
    if not found:
        faults.append(
            "The reply had no tags: end every reply with at least <summary>...</summary>."
        )
    return AgentReplyTags(
        summary=found.get("summary") or None,
        plan=found.get("plan") or None,
        promise=promise,
        experiments_raw=found.get("experiments"),
        evo_sweep_raw=found.get("evo_sweep"),
        reflection=found.get("reflection") or None,
        continue_session=decision,
        memories=memories,
        faults=faults,
        is_empty=not found,
    )


def _without_examples(text: str) -> str:
    """The text with quoted examples of the protocol cut out."""
    kept: list[str] = []
    position, fence, example = 0, "", False
    for match in _FENCE.finditer(text):
        marks, info = match[1], match[2].strip()
        if not fence:
            fence, example = marks, "example" in info.lower().split()
            if example:
                kept.append(text[position : match.start()])
        elif marks[0] == fence[0] and len(marks) >= len(fence) and not info:
            if example:
                position = match.end()
            fence, example = "", False
    return "".join(kept) + ("" if example else text[position:])


def _contents(text: str) -> tuple[dict[str, str], list[str]]:
    tokens = list(_TAG.finditer(text))
    last_close = {match[2].lower(): match.start() for match in tokens if match[1]}
    found: dict[str, str] = {}
    unclosed: dict[str, None] = {}
    name, begin = "", 0
    for match in tokens:
        tag, closing = match[2].lower(), bool(match[1])
        if name:
            # Inside a tag, others are its text: a plan may speak of <promise>.
            if tag == name and closing:
                found[name] = _unwrapped(text[begin : match.start()])
                name = ""
            elif tag == name:
                begin = match.end()
        elif not closing:
            if last_close.get(tag, -1) < match.end():
                unclosed[tag] = None
            else:
                name, begin = tag, match.end()
    return found, [f"<{tag}> was not closed with </{tag}>, so it was ignored." for tag in unclosed]


def _unwrapped(content: str) -> str:
    """The content without a code fence around all of it."""
    stripped = content.strip()
    if stripped.startswith(("```", "~~~")) and (match := _WRAPPED.match(stripped)):
        return match[2].strip("\n")
    return stripped


def _promise(raw: str | None, faults: list[str]) -> Literal["DONE", "WAITING"] | None:
    match (raw or "").strip().upper():
        case "DONE":
            return "DONE"
        case "WAITING":
            return "WAITING"
        case "":
            return None
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


def _memories(raw: str | None, faults: list[str]) -> list[Memory]:
    memories = []
    for line in (raw or "").splitlines():
        if not line.strip():
            continue
        match = _MEMORY.match(line)
        if match is None:
            faults.append(f"<memories> lines are '- [lesson] text', not '{_short(line)}'.")
        elif match[1].strip().lower() not in MEMORY_TAGS:
            faults.append(f"<memories> knows the tags {', '.join(MEMORY_TAGS)}, not '{match[1]}'.")
        else:
            memories.append(Memory(tag=match[1].strip().lower(), text=match[2].strip()))
    return memories


def _short(text: str | None) -> str:
    shown = " ".join((text or "").split())
    return shown[:80] + ("..." if len(shown) > 80 else "")
