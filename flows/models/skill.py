"""The prompt skill: a versioned prompt with front matter, and files beside it."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, JsonValue

from wildloop.flows.models.body import NOT_BLANK, Body

MAX_FILE_BYTES = 1_000_000
MAX_FILES = 100
RESERVED_IDS = frozenset({"search", "reload", "install"})


def _one_line(value: str) -> str:
    text = value.strip()
    if not text:
        raise ValueError("must not be blank")
    if not text.isprintable():
        raise ValueError("must be one line without control characters")
    return text


def _storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    return value.replace("\r\n", "\n")


OneLine = Annotated[
    str,
    Field(min_length=1, max_length=1000, json_schema_extra=NOT_BLANK),
    AfterValidator(_one_line),
]
Template = Annotated[
    str,
    Field(max_length=MAX_FILE_BYTES, description="The body: Markdown with Jinja2 variables."),
    AfterValidator(_storable),
]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]
SkillSource = Literal["shipped", "project"]


class SkillSummary(BaseModel):
    """A skill as listings show it."""

    id: str
    name: str
    description: str
    category: str = "general"
    version: str = "1"
    variables: list[str] = Field(default_factory=list)
    source: SkillSource = "shipped"
    shadows_shipped: bool = Field(
        default=False, description="A project's skill that stands in for a shipped one."
    )


class Skill(SkillSummary):
    """A skill with its text."""

    template: str = Field(description="The body: Markdown with Jinja2 variables.")


class SkillUpdate(Body):
    """Body of `PUT /prompt-skills/{id}`; what is left out stays as it is."""

    name: OneLine | None = None
    description: OneLine | None = None
    category: OneLine | None = None
    version: OneLine | None = None
    variables: list[VariableName] | None = Field(
        default=None, max_length=200, description="Default: those that the template uses."
    )
    template: Template | None = None


class SkillCreate(SkillUpdate):
    """Body of `POST /prompt-skills`: a new skill of the project."""

    id: str = Field(min_length=1, max_length=100, description="Name of the skill's folder.")
    description: OneLine
    template: Template


class SkillDeleted(BaseModel):
    """Answer of `DELETE /prompt-skills/{id}`."""

    id: str
    restored_shipped: bool = Field(description="A shipped skill of this id is in force again.")


class SkillsReloaded(BaseModel):
    """Answer of `POST /prompt-skills/reload`."""

    count: int
    broken: list[SkillSummary] = Field(description="Skills that cannot be read, and why.")


class SkillRender(Body):
    """Body of `POST /prompt-skills/{id}/render`."""

    variables: dict[str, JsonValue] = Field(default_factory=dict)


class RenderedSkill(BaseModel):
    """Answer of `POST /prompt-skills/{id}/render`."""

    id: str
    rendered: str


class SkillFile(BaseModel):
    """A file of a skill's folder. `modified_at` is in Unix seconds."""

    path: str = Field(description="Relative to the skill's folder, with `/`.")
    size: int = Field(description="In bytes.")
    modified_at: float


class SkillFileContent(SkillFile):
    """A file of a skill with its content."""

    content: str
    encoding: Literal["utf-8", "base64"] = Field(
        default="utf-8", description="`base64` for what is not UTF-8."
    )


class SkillFileWrite(Body):
    """Body of `PUT /prompt-skills/{id}/files/{path}`."""

    content: str
    encoding: Literal["utf-8", "base64"] = "utf-8"


class SkillInstall(Body):
    """Body of `POST /prompt-skills/install`."""

    source: OneLine = Field(
        description="A git URL (https, ssh or file), or a folder of the server's host.",
        examples=["https://example.org/team/skills.git", "/home/me/skills"],
    )
    ref: OneLine | None = Field(default=None, description="Branch or tag of the repository.")
    ids: list[str] | None = Field(
        default=None, min_length=1, description="Only these skills. Default: all that are found."
    )
    replace: bool = Field(
        default=False, description="Whether skills that exist, shipped ones too, are overridden."
    )


class SkillsInstalled(BaseModel):
    """Answer of `POST /prompt-skills/install`."""

    source: str
    commit: str | None = Field(default=None, description="What was checked out, for a git URL.")
    installed: list[SkillSummary]
