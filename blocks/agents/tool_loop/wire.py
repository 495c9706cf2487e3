"""Reads answers of chat completions, streamed or whole, from servers that differ in much."""

import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from wildloop.blocks.agents.prices import Usage
from wildloop.blocks.agents.streams import clean
from wildloop.blocks.agents.tool_loop.messages import Answer, Call

LINE_LIMIT_BYTES = 16 * 1024 * 1024
TEXT_LIMIT_CHARACTERS = 10 * 1024 * 1024
ARGUMENTS_LIMIT_CHARACTERS = 4 * 1024 * 1024
SHOWN_CHARACTERS = 200
DONE = b"[DONE]"


class MalformedAnswer(Exception):
    """What came is no answer of chat completions; another try may bring one."""


class StreamError(Exception):
    """The server reported an error in the place of an answer."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


class _Function(BaseModel):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _CallPiece(BaseModel):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Part(BaseModel):
    text: str | None = None


class _Delta(BaseModel):
    content: str | list[_Part] | None = None
    tool_calls: list[_CallPiece] | None = None


class _Choice(BaseModel):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Details(BaseModel):
    cached_tokens: int | None = None


class _Tokens(BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _Details | None = None

    def usage(self) -> Usage:
        total = self.prompt_tokens or 0
        cached = (self.prompt_tokens_details or _Details()).cached_tokens or 0
        return Usage(
            input=max(0, total - cached), output=self.completion_tokens or 0, cache_read=cached
        )


class _Chunk(BaseModel):
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: _Tokens | None = None
    error: Any = None


class _OpenCall(BaseModel):
    """A call of which more may come."""

    index: int | None
    id: str
    name: str = ""
    pieces: list[str] = Field(default_factory=list)
    size: int = 0


class AnswerBuilder:
    """Puts an answer together from its pieces; of a huge text the end is kept."""

    def __init__(self) -> None:
        self._text: deque[str] = deque()
        self._size = 0
        self._left_out = 0
        self._calls: list[_OpenCall] = []
        self._finish_reason: str | None = None
        self._usage: Usage | None = None
        self._model: str | None = None
        self._done = False

    @property
    def has_ended(self) -> bool:
        """Whether the server said that the answer is whole."""
        return self._done or self._finish_reason is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing of an answer has come."""
        return not self._text and not self._calls

    def feed(self, data: bytes) -> None:
        """Take in one JSON chunk, or `[DONE]`.

        Raises:
            MalformedAnswer: it is no chunk.
            StreamError: it is the report of an error.
        """
        if data == DONE:
            self._done = True
            return
        try:
            chunk = _Chunk.model_validate(json.loads(data))
        except (ValueError, RecursionError) as error:
            what = "form" if isinstance(error, ValidationError) else "JSON"
            raise MalformedAnswer(f"a piece of odd {what}: {shown(data)}") from error
        if chunk.error:
            raise StreamError(*error_of(data))
        self._model = chunk.model or self._model
        if chunk.usage is not None:
            # Some servers send running totals with every chunk: the last one holds.
            self._usage = chunk.usage.usage()
        for choice in (chunk.choices or [])[:1]:
            self._finish_reason = choice.finish_reason or self._finish_reason
            self._take(choice.delta or choice.message or _Delta())

    def answer(self) -> Answer:
        """The answer so far."""
        text = "".join(self._text)
        if self._left_out:
            text = f"[the first {self._left_out} characters of this answer were left out]\n{text}"
        calls = tuple(
            Call(call.id, clean(call.name), clean("".join(call.pieces)) or "{}")
            for call in self._calls
        )
        return Answer(clean(text), calls, self._finish_reason, self._usage, self._model)

    def _take(self, delta: _Delta) -> None:
        content = delta.content
        if isinstance(content, list):
            content = "".join(part.text or "" for part in content)
        if content:
            self._add_text(content)
        for piece in delta.tool_calls or ():
            self._add_call(piece)

    def _add_text(self, text: str) -> None:
        self._text.append(text[-TEXT_LIMIT_CHARACTERS:])
        self._left_out += max(0, len(text) - TEXT_LIMIT_CHARACTERS)
        self._size += len(self._text[-1])
        while self._size > TEXT_LIMIT_CHARACTERS and len(self._text) > 1:
            first = len(self._text.popleft())
            self._size -= first
            self._left_out += first

    def _add_call(self, piece: _CallPiece) -> None:
        call = self._find(piece)
        function = piece.function or _Function()
        # The name comes once; servers that repeat it with every piece mean the same call.
        call.name = call.name or function.name or ""
        arguments = function.arguments
        text = json.dumps(arguments) if isinstance(arguments, dict) else arguments or ""
        call.size += len(text)
        if call.size > ARGUMENTS_LIMIT_CHARACTERS:
            raise MalformedAnswer(f"the arguments of tool call '{call.name}' have no end")
        call.pieces.append(text)

    def _find(self, piece: _CallPiece) -> _OpenCall:
        """The call that a piece belongs to: by index, by id, or else the last one."""
        named = [call for call in self._calls if piece.id and call.id == piece.id]
        fitting = [call for call in self._calls if piece.index in (None, call.index)]
        found = next(iter([*named, *reversed(fitting)]), None)
        # Some servers number every call 0, and send each whole with an id of its own; others
        # send calls without number and id: then a second name begins a new call.
        is_new = bool(piece.id) and found is not None and found.id not in (piece.id, "")
        bare = piece.index is None and not piece.id
        if bare and found is not None and found.name and (piece.function or _Function()).name:
            is_new = True
        if found is None or is_new:
            found = _OpenCall(index=piece.index, id=piece.id or "")
            self._calls.append(found)
        found.id = found.id or piece.id or ""
        return found


def data_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The payloads of the `data:` lines of an event stream, as they come.

    Each line counts as an event: chunks are one line of JSON, and not every server puts the empty
    line between them.

    Raises:
        MalformedAnswer: a line has no end, or no line of the stream is a `data:` line.
    """
    held, seen, first = b"", False, b""
    for piece in pieces:
        first = first or piece[:SHOWN_CHARACTERS]
        *lines, held = (held + piece).split(b"\n")
        if len(held) > LINE_LIMIT_BYTES:
            raise MalformedAnswer("a line of the answer has no end")
        for line in lines:
            if line.startswith(b"data:"):
                seen = True
                yield line[5:].strip()
    if held.startswith(b"data:"):
        seen = True
        yield held[5:].strip()
    if not seen:
        raise MalformedAnswer(f"no event stream: {shown(first)}")


def error_of(body: bytes) -> tuple[str, int | None]:
    """Message and code of an API's error report, whatever its form."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return shown(body), None
    code: Any = None
    for key in ("error", "message", "detail"):
        while isinstance(found, dict) and found.get(key):
            code, found = found.get("code", code), found[key]
    if isinstance(found, dict):
        code = found.get("code", code)
    message = found if isinstance(found, str) else json.dumps(found)
    return clean(message)[:2000], code if isinstance(code, int) else None


def shown(data: bytes) -> str:
    """The beginning of some bytes, for an error message."""
    return clean(data[:SHOWN_CHARACTERS].decode("utf-8", "replace")).strip() or "nothing"
