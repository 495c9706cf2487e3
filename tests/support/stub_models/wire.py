"""Answers as server-sent events: Anthropic Messages, OpenAI chat completions and Responses."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from tests.support.stub_models.steps import Bulk, Refuse, Say, Shell, Use

Body = dict[str, Any]
Usage = tuple[int, int, int]
PIECE = "0123456789abcde\n" * 4096


def texts(step: Say | Bulk) -> Iterator[str]:
    """The text of an answer in pieces."""
    if isinstance(step, Say):
        yield step.text
        return
    left = step.size - len(step.last)
    while left > 0:
        yield PIECE[: min(left, len(PIECE))]
        left -= len(PIECE)
    yield step.last


def counts(step: Say | Shell | Use | Bulk) -> Usage:
    """Input, output and cached tokens of an answer."""
    if isinstance(step, Bulk):
        return 100, step.size // 4, 0
    return step.input_tokens, step.output_tokens, step.cached_tokens


def event(body: Body, name: str | None = None) -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(body)}\n\n".encode()


class Wire(ABC):
    """The wire format of one API."""

    @abstractmethod
    def tools(self, request: Body) -> list[str]:
        """Names of the tools that a request offers."""

    @abstractmethod
    def outputs(self, request: Body) -> int:
        """How many outputs of tools the conversation holds, searches for tools left out."""

    def found_tools(self, request: Body) -> list[str]:
        """Names of the tools that the client has found at the model's wish."""
        return []

    @abstractmethod
    def text(self, step: Say | Bulk, request: Body) -> Iterator[bytes]:
        """The events of an answer in text."""

    @abstractmethod
    def call(self, step: Shell | Use, request: Body) -> Iterator[bytes]:
        """The events of a tool call."""

    def named(self, step: Use, request: Body) -> str:
        """The offered tool that a step means."""
        return next(name for name in self.tools(request) if name.endswith(step.tool))

    def error(self, step: Refuse) -> Body:
        """The body of an HTTP error."""
        kind = "rate_limit_error" if step.status == 429 else "api_error"
        return {"type": "error", "error": {"type": kind, "message": step.message}}


class Anthropic(Wire):
    """POST /v1/messages."""

    def tools(self, request: Body) -> list[str]:
        """See `Wire.tools`."""
        return [tool["name"] for tool in request.get("tools") or []]

    def outputs(self, request: Body) -> int:
        """See `Wire.outputs`."""
        parts = [part for message in request["messages"] for part in message["content"]]
        return sum(1 for part in parts if isinstance(part, dict) and part["type"] == "tool_result")

    def text(self, step: Say | Bulk, request: Body) -> Iterator[bytes]:
        """See `Wire.text`."""
        deltas = ({"type": "text_delta", "text": piece} for piece in texts(step))
        block = {"type": "text", "text": ""}
        return self._message(block, deltas, "end_turn", counts(step), request)

    def call(self, step: Shell | Use, request: Body) -> Iterator[bytes]:
        """See `Wire.call`."""
        if isinstance(step, Use):
            name, values = self.named(step, request), step.arguments
        else:
            name, values = "Bash", {"command": step.command, "description": "Run a command"}
        deltas = iter([{"type": "input_json_delta", "partial_json": json.dumps(values)}])
        block = {"type": "tool_use", "id": f"toolu_{id(step)}", "name": name, "input": {}}
        return self._message(block, deltas, "tool_use", counts(step), request)

    def _message(
        self, block: Body, deltas: Iterator[Body], reason: str, usage: Usage, request: Body
    ) -> Iterator[bytes]:
        total, output, cached = usage
        message = {
            "id": "msg_stub",
            "type": "message",
            "role": "assistant",
            "model": request.get("model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": total - cached,
                "cache_read_input_tokens": cached,
                "cache_creation_input_tokens": 0,
                "output_tokens": 1,
            },
        }

        def send(kind: str, **fields: Any) -> bytes:
            return event({"type": kind, **fields}, kind)

        yield send("message_start", message=message)
        yield send("content_block_start", index=0, content_block=block)
        for delta in deltas:
            yield send("content_block_delta", index=0, delta=delta)
        yield send("content_block_stop", index=0)
        ending = {"stop_reason": reason, "stop_sequence": None}
        yield send("message_delta", delta=ending, usage={"output_tokens": output})
        yield send("message_stop")


class ChatCompletions(Wire):
    """POST /v1/chat/completions."""

    def tools(self, request: Body) -> list[str]:
        """See `Wire.tools`."""
        return [tool["function"]["name"] for tool in request.get("tools") or []]

    def outputs(self, request: Body) -> int:
        """See `Wire.outputs`."""
        return sum(1 for message in request["messages"] if message["role"] == "tool")

    def text(self, step: Say | Bulk, request: Body) -> Iterator[bytes]:
        """See `Wire.text`."""
        for piece in texts(step):
            yield self._chunk({"role": "assistant", "content": piece})
        yield from self._end("stop", counts(step))

    def call(self, step: Shell | Use, request: Body) -> Iterator[bytes]:
        """See `Wire.call`."""
        if isinstance(step, Use):
            name, values = self.named(step, request), step.arguments
        else:
            name, values = "bash", {"command": step.command, "description": "Run a command"}
        function = {"name": name, "arguments": json.dumps(values)}
        call = {"index": 0, "id": f"call_{id(step)}", "type": "function", "function": function}
        yield self._chunk({"role": "assistant", "tool_calls": [call]})
        yield from self._end("tool_calls", counts(step))

    def _end(self, reason: str, usage: Usage) -> Iterator[bytes]:
        total, output, cached = usage
        yield self._chunk({}, reason)
        yield event(
            self._frame()
            | {
                "choices": [],
                "usage": {
                    "prompt_tokens": total,
                    "completion_tokens": output,
                    "total_tokens": total + output,
                    "prompt_tokens_details": {"cached_tokens": cached},
                },
            }
        )
        yield b"data: [DONE]\n\n"

    def _chunk(self, delta: Body, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return event(self._frame() | {"choices": [choice]})

    def _frame(self) -> Body:
        return {"id": "stub", "object": "chat.completion.chunk", "created": 1, "model": "stub"}


class Responses(Wire):
    """POST /v1/responses."""

    def tools(self, request: Body) -> list[str]:
        """See `Wire.tools`."""
        return [tool.get("name") or tool["type"] for tool in request.get("tools") or []]

    def outputs(self, request: Body) -> int:
        """See `Wire.outputs`."""
        return sum(1 for item in request["input"] if item.get("type") == "function_call_output")

    def found_tools(self, request: Body) -> list[str]:
        """See `Wire.found_tools`."""
        return [tool["name"] for _, tool in self._found(request)]

    def text(self, step: Say | Bulk, request: Body) -> Iterator[bytes]:
        """See `Wire.text`."""
        item: Body = {"type": "message", "role": "assistant", "id": "msg_stub", "content": []}
        yield self._event("response.created", response={"id": "resp_stub"})
        yield self._event("response.output_item.added", output_index=0, item=item)
        # Codex looks at all text so far with every piece: a bulk comes in one.
        for piece in texts(step) if isinstance(step, Say) else ():
            yield self._event(
                "response.output_text.delta", item_id="msg_stub", content_index=0, delta=piece
            )
        text = "".join(texts(step))
        done = item | {"content": [{"type": "output_text", "text": text, "annotations": []}]}
        yield self._event("response.output_item.done", output_index=0, item=done)
        yield self._completed(counts(step))

    def call(self, step: Shell | Use, request: Body) -> Iterator[bytes]:
        """See `Wire.call`."""
        item: Body = {"type": "function_call", "id": "fc_stub", "call_id": f"call_{id(step)}"}
        if isinstance(step, Shell):
            name, arguments = self._shell(step.command, self.tools(request))
            item |= {"name": name, "arguments": json.dumps(arguments)}
        elif step.tool == "tool_search":
            item |= {"type": "tool_search_call", "execution": "client", "arguments": step.arguments}
        else:
            item |= self._named(step, request) | {"arguments": json.dumps(step.arguments)}
        yield self._event("response.created", response={"id": "resp_stub"})
        yield self._event("response.output_item.done", output_index=0, item=item)
        yield self._completed(counts(step))

    def _named(self, step: Use, request: Body) -> Body:
        """Name and namespace of a tool that a search of the client's own has found."""
        for space, tool in self._found(request):
            if tool["name"].endswith(step.tool):
                return {"name": tool["name"], "namespace": space}
        raise AssertionError(f"no tool {step.tool} was found")

    def _found(self, request: Body) -> Iterator[tuple[str, Body]]:
        for item in request["input"]:
            for space in item.get("tools") or []:
                for tool in space.get("tools") or []:
                    yield space["name"], tool

    def _shell(self, command: str, tools: list[str]) -> tuple[str, Body]:
        if "exec_command" in tools:
            return "exec_command", {"cmd": command}
        if "shell_command" in tools:
            return "shell_command", {"command": command}
        return "shell", {"command": ["bash", "-c", command]}

    def _completed(self, usage: Usage) -> bytes:
        total, output, cached = usage
        return self._event(
            "response.completed",
            response={
                "id": "resp_stub",
                "usage": {
                    "input_tokens": total,
                    "input_tokens_details": {"cached_tokens": cached},
                    "output_tokens": output,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": total + output,
                },
            },
        )

    def _event(self, kind: str, **fields: Any) -> bytes:
        return event({"type": kind, **fields}, kind)


WIRES: dict[str, type[Wire]] = {
    "/messages": Anthropic,
    "/chat/completions": ChatCompletions,
    "/responses": Responses,
}
