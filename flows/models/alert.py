"""The alert: something about a run that a person or an agent should decide on."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from flows.models.body import NOT_BLANK, Body, Word

MESSAGE_LENGTH = 2000
CHOICE_LENGTH = 40
CONTINUE = "continue"
STOP = "stop"
RERUN = "rerun"


class AlertKind(StrEnum):
    """What an alert is about; `custom` ones come by HTTP, all others from Wildloop itself."""

    CUSTOM = "custom"
    NAN = "nan"
    SPIKE = "spike"
    SILENCE = "silence"
    OUT_OF_MEMORY = "out_of_memory"
    EXIT = "exit"
    DISK = "disk"
    GPU_LOST = "gpu_lost"
    HOST_LOST = "host_lost"


class Severity(StrEnum):
    """How much an alert matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class AlertStatus(StrEnum):
    """`open` until somebody has chosen."""

    OPEN = "open"
    RESOLVED = "resolved"


def _plain(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    if "\x00" in value:
        raise ValueError("must not contain a NUL character")
    return value.strip()


def _word(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be a short printable word")
    return value


Message = Annotated[
    str,
    Field(min_length=1, max_length=MESSAGE_LENGTH, json_schema_extra=NOT_BLANK),
    AfterValidator(_plain),
]
Choice = Annotated[
    str,
    Field(min_length=1, max_length=CHOICE_LENGTH, json_schema_extra=NOT_BLANK),
    AfterValidator(_plain),
    AfterValidator(_word),
]


class AlertCreate(Body):
    """Body of `POST /runs/{id}/alerts`."""

    message: Message = Field(description="What has happened, for whoever decides.")
    choices: list[Choice] = Field(
        default_factory=lambda: [CONTINUE, STOP],
        min_length=2,
        max_length=10,
        json_schema_extra={"uniqueItems": True},
        description="Short words. `stop` stops the run, `rerun` repeats it (and stops it first if "
        "it runs), `continue` leaves it alone; any other word is only recorded.",
    )
    severity: Word[Severity] = Severity.WARNING

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({choice.casefold() for choice in self.choices}) < len(self.choices):
            raise ValueError("choices must differ from one another")
        return self


class AlertReply(Body):
    """Body of `POST /alerts/{id}/respond`."""

    choice: Choice = Field(description="One of the alert's `choices`.")


class Finding(BaseModel):
    """What a detector has found.

    `key` names the occurrence within its run: the same occurrence, found again after a restart,
    has the same key and raises no second alert.
    """

    model_config = ConfigDict(frozen=True)

    kind: AlertKind
    severity: Severity
    message: str
    choices: tuple[str, ...]
    key: str


class Alert(BaseModel):
    """An alert as the API shows it. Times are Unix seconds."""

    id: str
    run_id: str
    session_id: str | None = None
    kind: AlertKind
    severity: Severity
    message: str
    choices: list[str]
    status: AlertStatus = AlertStatus.OPEN
    choice: str | None = None
    effect: str | None = Field(default=None, description="What the choice has brought about.")
    rerun_id: str | None = Field(default=None, description="The run that `rerun` has created.")
    created_at: float
    resolved_at: float | None = None
