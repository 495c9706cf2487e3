"""What the event stream of a call amounts to: text, tokens, cost, error."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from wildloop.blocks.agents.jsonl import Event, EventReader, read_events
from wildloop.blocks.agents.live import shorten
from wildloop.blocks.agents.prices import Usage

Model = TypeVar("Model", bound=BaseModel)
# The argument of a tool that says most, first found first shown.
TELLING = ("command", "cmd", "file_path", "filePath", "path", "pattern", "query", "url", "prompt")


class Reading(ABC):
    """Takes in the events of one call, in order, and knows what they amount to so far.

    Attributes:
        text: the model's last message; more of it than that only where no message has ended.
        usage: tokens, of the whole call.
        cost_usd: the cost as the tool tells it.
        turns: answers of the model.
        model: the model that answered, where told.
        error: the tool's last word on what went wrong.
        status: HTTP status of that error.
        resets_at: when a rate limit ends, Unix seconds.
        retry_after: seconds that the API asked to wait, from the end of the call.
        complete: the tool said that the call has come to its proper end.
    """

    def __init__(self) -> None:
        self.text = ""
        self.usage = Usage()
        self.cost_usd: float | None = None
        self.turns = 0
        self.model: str | None = None
        self.error: str | None = None
        self.status: int | None = None
        self.resets_at: float | None = None
        self.retry_after: float | None = None
        self.complete = False

    @abstractmethod
    def feed(self, event: Event) -> None:
        """Take in one event; those of an unknown kind change nothing."""

    @property
    def is_runaway(self) -> bool:
        """Whether the tool goes round in circles by a fault of its own."""
        return False

    @property
    def has_begun(self) -> bool:
        """Whether the model has answered at all."""
        return self.turns > 0 or bool(self.text)


def read_stream(path: Path, reading: Reading) -> Reading:
    """Take in a stored stream; if nothing else tells of an error, a line that is no event does."""
    reader = EventReader()
    for event in read_events(path, reader):
        reading.feed(event)
    if reading.error is None and not reading.complete and reader.stray:
        reading.error = reader.stray
    return reading


def lenient(model: type[Model], value: Event) -> Model | None:
    """Validate an event, leaving out the fields that do not fit; None if nothing is left.

    The tools change their events from version to version: one odd field is no reason to lose the
    rest.
    """
    fields = dict(value)
    while True:
        try:
            return model.model_validate(fields)
        except ValidationError as error:
            odd = {fault["loc"][0] for fault in error.errors() if fault["loc"]} & fields.keys()
            if not odd:
                return None
            fields = {name: field for name, field in fields.items() if name not in odd}


def tool_line(name: str, arguments: Any) -> str:
    """A tool call in short: its name and the argument that says most."""
    if not isinstance(arguments, dict) or not arguments:
        return name
    key = next((key for key in TELLING if key in arguments), next(iter(arguments)))
    return f"{name}: {shorten(str(arguments[key]))}"


def clean(text: str) -> str:
    """The text without halves of surrogate pairs, which no file or database takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
