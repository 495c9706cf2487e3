"""Prints what the loop does, one JSON object a line, with no secret in it."""

import json
import sys
from collections.abc import Iterable
from typing import TextIO

from pydantic import BaseModel, Field

from wildloop.blocks.agents.prices import Usage
from wildloop.blocks.agents.tool_loop.messages import Answer, Call

SHORTEST_SECRET = 8


class Event(BaseModel):
    """Base of the events; `type` tells them apart."""

    type: str


class Started(Event):
    """The loop has begun."""

    type: str = "start"
    model: str


class CallEvent(BaseModel):
    """A tool call that the model asks for."""

    id: str
    name: str
    arguments: str


class Answered(Event):
    """The model has answered."""

    type: str = "answer"
    text: str
    calls: list[CallEvent] = Field(default_factory=list)
    usage: Usage | None = None
    finish_reason: str | None = None
    model: str | None = None

    @classmethod
    def of(cls, answer: Answer) -> "Answered":
        """The event of an answer."""
        calls = [_call(call) for call in answer.calls]
        return cls(
            text=answer.text,
            calls=calls,
            usage=answer.usage,
            finish_reason=answer.finish_reason,
            model=answer.model,
        )


class Output(Event):
    """A tool has run; `text` is what the model gets of its output."""

    type: str = "output"
    name: str
    call: str
    text: str
    exit_code: int | None = None


class Retry(Event):
    """A request failed and is sent again after `seconds`."""

    type: str = "retry"
    error: str
    status: int | None = None
    seconds: float


class Progress(Event):
    """An answer is on its way: so many bytes of it have come."""

    type: str = "progress"
    bytes: int


class Note(Event):
    """Something that the loop did of its own accord."""

    type: str = "note"
    text: str


class Failed(Event):
    """The loop gives up."""

    type: str = "error"
    error: str
    status: int | None = None
    retry_after: float | None = None


class Final(Event):
    """The model's last message; `ended_by` says why it is the last."""

    type: str = "final"
    text: str
    ended_by: str
    steps: int


class Events:
    """Where the events go."""

    def __init__(self, secrets: Iterable[str], out: TextIO | None = None) -> None:
        long_enough = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        self._secrets = sorted(long_enough, key=len, reverse=True)
        self._out = out or sys.stdout

    def emit(self, event: Event) -> None:
        """Print one event at once."""
        found = event.model_dump(mode="json", exclude_none=True)
        print(json.dumps(self._clean(found)), file=self._out, flush=True)

    def redact(self, text: str) -> str:
        """The text with asterisks in place of the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "*" * len(secret))
        return text

    def _clean(self, value: object) -> object:
        match value:
            case str():
                return self.redact(value)
            case dict():
                return {key: self._clean(part) for key, part in value.items()}
            case list():
                return [self._clean(part) for part in value]
        return value


def _call(call: Call) -> CallEvent:
    return CallEvent(id=call.id, name=call.name, arguments=call.arguments)
