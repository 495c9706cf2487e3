"""The alert: something about a run that a person or an agent should decide on."""

import re
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    computed_field,
    model_validator,
)

from wildloop.flows.models.body import NOT_BLANK, Body, Word

MESSAGE_LENGTH = 2000
CHOICE_LENGTH = 200
CONTINUE = "continue"
STOP = "stop"
RERUN = "rerun"
NOTED = "noted"
APPROVE = "approve"
REJECT = "reject"


class AlertKind(StrEnum):
    """What an alert is about; `custom` ones come by HTTP, all others from Wildloop itself.

    An `approval` is a session's question to its user: it waits for the answer.
    """

    CUSTOM = "custom"
    NAN = "nan"
    SPIKE = "spike"
    SILENCE = "silence"
    NO_METRIC = "no_metric"
    OUT_OF_MEMORY = "out_of_memory"
    EXIT = "exit"
    DISK = "disk"
    GPU_LOST = "gpu_lost"
    HOST_LOST = "host_lost"
    HOST_ASIDE = "host_aside"
    WAITING = "waiting"
    PREFECT_AWAY = "prefect_away"
    APPROVAL = "approval"


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


class Action(StrEnum):
    """What an answer does to the alert's run."""

    STOP = "stop"
    RERUN = "rerun"
    NONE = "none"


# An answer in plain words acts as these do. All of its words count: "don't stop" is none of them.
_THING = r"(?:(?:the |this |my )?(?:run|job|training|experiment|process)|it)"
_STOP = rf"(?:stop|kill|abort|terminate)(?: {_THING})?|(?:cancel|end) {_THING}"
_RERUN = rf"(?:rerun|re run|retry|restart|repeat|run again)(?: {_THING})?"
_ACTIONS = {
    Action.STOP: re.compile(rf"(?:{_STOP})(?: now)?"),
    Action.RERUN: re.compile(rf"(?:(?:{_STOP}) and )?{_RERUN}(?: now)?"),
}


def action_of(label: str) -> Action:
    """What an answer in plain words does: "Stop Job" stops, "Stop and rerun" repeats."""
    words = " ".join(re.findall(r"[^\W_]+", label.casefold()))
    found = (action for action, pattern in _ACTIONS.items() if pattern.fullmatch(words))
    return next(found, Action.NONE)


class LabelledChoice(Body):
    """A choice with what it does."""

    label: Choice = Field(description="What a person reads, and answers.")
    action: Word[Action] = Field(
        default=Action.NONE, description="`none`: the answer is only recorded."
    )


def _kind(choice: Any) -> str:
    return "text" if isinstance(choice, str) else "labelled"


# By its kind, so that what is wrong with a text is told of the text alone.
AnyChoice = Annotated[
    Annotated[Choice, Tag("text")] | Annotated[LabelledChoice, Tag("labelled")],
    Discriminator(_kind),
]


def _usual() -> list[Choice | LabelledChoice]:
    return [CONTINUE, STOP]


class AlertCreate(Body):
    """Body of `POST /runs/{id}/alerts`."""

    message: Message = Field(description="What has happened, for whoever decides.")
    choices: list[AnyChoice] = Field(
        default_factory=_usual,
        min_length=1,
        max_length=10,
        json_schema_extra={"uniqueItems": True},
        description="Texts, or `{label, action}`. Of texts, `stop` (or `Stop job`, `Kill the run`) "
        "stops the run, `rerun` (or `retry`, `Restart`) repeats it and stops it first if it runs; "
        "any other is only recorded. One choice is an acknowledgement.",
    )
    severity: Word[Severity] = Severity.WARNING

    @property
    def actions(self) -> dict[str, Action]:
        """What each choice does, by its label."""
        return {
            one if isinstance(one, str) else one.label: (
                action_of(one) if isinstance(one, str) else one.action
            )
            for one in self.choices
        }

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({label.casefold() for label in self.actions}) < len(self.choices):
            raise ValueError("choices must differ from one another")
        return self


class AlertReply(Body):
    """Body of `POST /alerts/{id}/respond`."""

    choice: Choice = Field(description="One of the alert's `choices`, in any case.")
    reason: Message | None = Field(
        default=None, description="Why; a session's agent is told why its plan was rejected."
    )


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
    run_id: str = Field(description="Of an alert about a session itself: the session's id.")
    session_id: str | None = None
    kind: AlertKind
    severity: Severity
    message: str
    choices: list[str]
    actions: dict[str, Action] = Field(
        default_factory=dict, description="What each choice does to the run, by its text."
    )
    status: AlertStatus = AlertStatus.OPEN
    choice: str | None = None
    reason: str | None = Field(default=None, description="What was said with the answer.")
    effect: str | None = Field(default=None, description="What the choice has brought about.")
    rerun_id: str | None = Field(default=None, description="The run that `rerun` has created.")
    created_at: float
    resolved_at: float | None = None

    @computed_field(description="Same as `id`.")  # type: ignore[prop-decorator]
    @property
    def alert_id(self) -> str:
        """The name that job sidecars look for."""
        return self.id

    @property
    def is_of_session(self) -> bool:
        """Whether it is about a session itself, and no run."""
        return self.run_id == self.session_id

    @model_validator(mode="after")
    def _with_actions(self) -> Self:
        # Of an alert that was raised before choices had actions.
        self.actions = {word: self.actions.get(word, action_of(word)) for word in self.choices}
        return self
