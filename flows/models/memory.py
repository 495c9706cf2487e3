"""The memory: one lesson of a project, kept for later sessions."""

import math
import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AliasChoices, BaseModel, Field

from wildloop.flows.models.body import NOT_BLANK, Body, Word
from wildloop.flows.models.evidence import Direction

CONTENT_LIMIT = 4_000
TITLE_LIMIT = 200
HALF_LIFE_DAYS = 30.0
CONTRADICTED = 0.25
RUNS_NAMED, ID_LENGTH = 3, 8
OPINION = "the agent's opinion, not shown"
# What says that something has an effect on results.
_EFFECT = re.compile(
    r"\b(?:better|worse|best|improv\w+|help(?:s|ed)?|hurts?|harm(?:s|ed)?|gain(?:s|ed)?|beats?|"
    r"outperform\w*|increas\w+|decreas\w+|reduc\w+|rais(?:es|ed)|lower(?:s|ed)|matters?|"
    r"crucial|essential|needed)\b",
    re.IGNORECASE,
)
_FILLERS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "be",
        "been",
        "for",
        "from",
        "has",
        "have",
        "in",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "that",
        "the",
        "then",
        "this",
        "to",
        "was",
        "were",
        "with",
    ]
)


class MemoryTag(StrEnum):
    """What kind of lesson it is."""

    LESSON = "lesson"
    PREFERENCE = "preference"
    CONVENTION = "convention"
    GOTCHA = "gotcha"
    CONTEXT = "context"


class MemorySource(StrEnum):
    """Who wrote it."""

    USER = "user"
    AGENT = "agent"
    REFLECTION = "reflection"


def _content(value: str) -> str:
    text = value.replace("\r\n", "\n").strip()
    if not text:
        raise ValueError("must not be blank")
    if "\x00" in text:
        raise ValueError("must not contain a NUL character")
    return text


def _title(value: str) -> str:
    return " ".join(_content(value).split())


Content = Annotated[
    str,
    Field(
        min_length=1,
        max_length=CONTENT_LIMIT,
        description="The lesson (`text` is taken as well).",
        validation_alias=AliasChoices("content", "text"),
        json_schema_extra=NOT_BLANK,
    ),
    AfterValidator(_content),
]
Title = Annotated[
    str,
    Field(min_length=1, max_length=TITLE_LIMIT, json_schema_extra=NOT_BLANK),
    AfterValidator(_title),
]


class Claim(BaseModel):
    """What a lesson claims of two settings, so that a later session can tell whether it holds."""

    metric: str
    direction: Direction
    program: str = Field(description="The command without its settings.")
    ours: dict[str, Any] = Field(description="The settings that are better.")
    theirs: dict[str, Any] = Field(description="Those that they are compared with.")
    gain: float = Field(description="By how much, in the metric; above 0.")

    def is_about(self, other: "Claim") -> bool:
        """Whether both speak of the same two settings, whatever the gain."""
        return self.model_copy(update={"gain": other.gain}) == other


class Shown(BaseModel):
    """What stands behind a lesson that a session's account tells as well."""

    level: str
    claim: Claim | None = None
    runs: list[str] = Field(default_factory=list, description="Ids of those that show it.")


class Memory(BaseModel):
    """A lesson as the API shows it and as it is stored. Times are Unix seconds."""

    id: str
    title: str | None = None
    content: str = Field(validation_alias=AliasChoices("content", "text"))
    tag: MemoryTag = MemoryTag.LESSON
    source: MemorySource = MemorySource.REFLECTION
    session_id: str | None = Field(default=None, description="The session that it comes from.")
    project: str = Field(description="Folder of the project that it is about.")
    created_at: float
    updated_at: float = 0.0
    is_active: bool = Field(default=True, description="Whether it is put into prompts.")
    confirmations: int = Field(default=0, description="How often it was found again since.")
    confirmed_at: float | None = Field(default=None, description="When it was last found again.")
    confirmed_by: str | None = Field(default=None, description="The session that did so last.")
    evidence: str | None = Field(
        default=None,
        description="Level of the evidence that shows it (`claimed`, `confirmed`, ...); none for "
        "what nobody has shown.",
    )
    claim: Claim | None = Field(default=None, description="What it says of two settings.")
    runs: list[str] = Field(
        default_factory=list,
        description="Ids of the runs that show it, of the last session that did.",
    )
    contradicted_by: str | None = Field(
        default=None, description="The later session whose runs do not bear it out."
    )
    contradicted_at: float | None = Field(default=None, description="When that was found.")
    instead: str = Field(default="", description="What was measured instead.")
    uses: int = Field(default=0, description="In how many prompts it has stood.")

    @property
    def line(self) -> str:
        """As it stands in a prompt, in one line."""
        head = f"{self.title}: " if self.title else ""
        mark = f" ({self.standing})" if self.standing else ""
        return f"[{self.tag.value}] {head}{' '.join(self.content.split())}{mark}"

    @property
    def is_contradicted(self) -> bool:
        """Whether the last session that ran its settings again has not borne it out."""
        return (self.contradicted_at or 0.0) > (self.confirmed_at or 0.0)

    @property
    def standing(self) -> str:
        """How far it may be believed; empty for a person's word, and for what claims no effect."""
        if self.source is MemorySource.USER:
            return ""
        if self.is_contradicted:
            return (
                f"shown then, {self.evidence}; CONTRADICTED since by session "
                f"{self.contradicted_by}: {self.instead}"
            )
        if self.evidence is not None:
            return f"shown, {self.evidence}{self._by_runs}"
        claims = self.tag is MemoryTag.LESSON or _EFFECT.search(self.content)
        return OPINION if claims else ""

    @property
    def _by_runs(self) -> str:
        if not self.runs:
            return ""
        more = " ..." if len(self.runs) > RUNS_NAMED else ""
        return f", by runs {', '.join(id[:ID_LENGTH] for id in self.runs[:RUNS_NAMED])}{more}"


class MemoryCreate(Body):
    """Body of `POST /memories`."""

    content: Content
    title: Title | None = None
    tag: Word[MemoryTag] = MemoryTag.LESSON
    source: Word[MemorySource] = MemorySource.USER
    session_id: str | None = Field(default=None, min_length=1, max_length=200)
    project: str | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="Folder of the project. Default: the session's, else the server's --workdir.",
    )


class MemoryUpdate(Body):
    """Body of `PATCH /memories/{id}`; what is left out stays as it is."""

    content: Content = ""
    title: Title | None = Field(default=None, description="null takes the title away.")
    tag: Word[MemoryTag] = MemoryTag.LESSON
    is_active: bool = True


class MemoryUses(BaseModel):
    """In how many prompts each memory of a project has stood, by id."""

    counts: dict[str, int] = Field(default_factory=dict)


def normalised(content: str) -> str:
    """The text by which two memories are the same: case, blanks and end punctuation aside."""
    return " ".join(content.casefold().split()).rstrip(".!;, ")


def gist(content: str) -> str:
    """What a memory says, by which near-duplicates are known.

    Without articles and the like, plural endings and punctuation; numbers, negations and the order
    of the words count.
    """
    words = (word.strip("'\"`*_.,;:!?()") for word in normalised(content).split())
    kept = [word.removesuffix("s") if len(word) > 3 else word for word in words]
    return " ".join(word for word in kept if word not in _FILLERS) or normalised(content)


def weight(memory: Memory, now: float) -> float:
    """By which a prompt's memories are chosen: use raises it, age halves it every 30 days.

    A lesson that a later session has found again counts most: it holds beyond one session. One
    that a later session's runs contradict counts a quarter. The number of prompts it has stood in
    counts little, since that feeds on itself.

    Args:
        memory: with its `uses`.
        now: Unix seconds.
    """
    last = max(memory.updated_at, memory.confirmed_at or 0.0, memory.created_at)
    days = max(0.0, now - last) / 86_400
    worth = 1.0 + math.log2(1 + memory.confirmations) + 0.1 * math.log2(1 + memory.uses)
    if memory.is_contradicted:
        worth *= CONTRADICTED
    return float(worth * 2 ** (-days / HALF_LIFE_DAYS))
