"""The conversation as the loop keeps it, and how it is written for the server."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wildloop.blocks.agents.prices import Usage

WireMessage = dict[str, Any]


class Kind(StrEnum):
    """What a message is to the loop."""

    SYSTEM = "system"
    PROMPT = "prompt"
    ANSWER = "answer"
    OUTPUT = "output"
    NOTE = "note"


@dataclass(frozen=True)
class Call:
    """A tool call of the model; `arguments` is JSON as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """One answer of the model."""

    text: str
    calls: tuple[Call, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None


@dataclass(frozen=True)
class Message:
    """One message of the conversation. An OUTPUT without `call_id` goes out as the user's."""

    kind: Kind
    text: str
    calls: tuple[Call, ...] = ()
    call_id: str | None = None

    @property
    def characters(self) -> int:
        """What the message takes of the context."""
        return len(self.text) + sum(len(call.name) + len(call.arguments) for call in self.calls)

    def wire(self) -> WireMessage:
        """The message in the API's form."""
        if self.kind is Kind.OUTPUT and self.call_id is not None:
            return {"role": "tool", "tool_call_id": self.call_id, "content": self.text}
        if self.kind is Kind.SYSTEM:
            return {"role": "system", "content": self.text}
        if self.kind is not Kind.ANSWER:
            return {"role": "user", "content": self.text}
        found: WireMessage = {"role": "assistant", "content": self.text}
        if self.calls:
            found["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": _sendable(call.arguments)},
                }
                for call in self.calls
            ]
        return found


def to_wire(messages: Sequence[Message], system_role: bool = True) -> list[WireMessage]:
    """The conversation in the API's form.

    Messages of the user that follow one another become one, since many chat templates want the
    roles to alternate; without `system_role` the system's text goes at the head of the prompt.
    """
    found: list[WireMessage] = []
    for message in messages:
        wire = message.wire()
        if wire["role"] == "system" and not system_role:
            wire["role"] = "user"
        if found and wire["role"] == "user" == found[-1]["role"]:
            found[-1]["content"] += f"\n\n{wire['content']}"
        else:
            found.append(wire)
    return found


def _sendable(arguments: str) -> str:
    """The arguments, or where they are no JSON object a stand-in: servers fail on such."""
    try:
        is_object = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        is_object = False
    return arguments if is_object else json.dumps({"invalid": arguments[:500]})
