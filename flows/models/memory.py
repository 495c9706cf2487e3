"""The memory: one lesson of a project, kept for later sessions."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field

from flows.models.body import NOT_BLANK, Body, Word

CONTENT_LIMIT = 4_000
TITLE_LIMIT = 200


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
    uses: int = Field(default=0, description="In how many prompts it has stood.")

    @property
    def line(self) -> str:
        """As it stands in a prompt, in one line."""
        head = f"{self.title}: " if self.title else ""
        return f"[{self.tag.value}] {head}{' '.join(self.content.split())}"


class MemoryCreate(Body):
    """Body of `POST /memories`."""

    model_config = ConfigDict(extra="forbid")

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

    model_config = ConfigDict(extra="forbid")

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
