"""Asks the model server, and asks again where that helps."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from random import uniform
from typing import Any, Protocol

import httpx

from wildloop.blocks.agents.resets import seconds_until_reset
from wildloop.blocks.agents.tool_loop.adapt import Features, adapt, is_overflow
from wildloop.blocks.agents.tool_loop.events import Event, Note, Progress, Retry
from wildloop.blocks.agents.tool_loop.messages import Answer, Message, to_wire
from wildloop.blocks.agents.tool_loop.settings import Clock, LoopSettings, Secrets
from wildloop.blocks.agents.tool_loop.wire import (
    DONE,
    AnswerBuilder,
    MalformedAnswer,
    StreamError,
    data_lines,
    error_of,
)
from wildloop.blocks.agents.troubles import Trouble, classify
from wildloop.blocks.proxies import transport_to

BODY_LIMIT_BYTES = 64 * 1024 * 1024
ERROR_BODY_BYTES = 64 * 1024
CONNECT_SECONDS = 30.0
BACKOFF_CAP_SECONDS = 120.0
JITTER = 1.25
# Whoever has called ends the call at its time, and reports it so: the loop is not to forestall him.
OVERTIME_SECONDS = 5.0
# So often a long answer gives a sign of life.
PROGRESS_SECONDS = 60.0
# In the place of an HTTP status: the fault is none of the network, waiting does not mend it.
NO_HTTP = 0


class Reporter(Protocol):
    """Where the client says what it does."""

    def emit(self, event: Event) -> None:
        """Report one event."""


class ModelFault(Exception):
    """The server has not answered, for good.

    Attributes:
        status: the HTTP status; None where the network failed, NO_HTTP for other faults.
        retry_after: seconds that the server asked to wait.
    """

    def __init__(
        self, message: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ContextOverflow(Exception):
    """The conversation is too long for the server."""


class ToolsRefused(Exception):
    """The server takes no tools."""


@dataclass(frozen=True)
class Request:
    """What is asked; without `tool_use` the tools are shown, and the model is to use none."""

    messages: Sequence[Message]
    tools: Sequence[dict[str, Any]]
    tool_use: bool = True


class ModelClient:
    """One server and one model; it learns what the server takes. A context manager."""

    def __init__(
        self, settings: LoopSettings, secrets: Secrets, clock: Clock, events: Reporter
    ) -> None:
        self.features = Features()
        self._settings = settings
        self._clock = clock
        self._events = events
        self._http = httpx.Client(
            headers=request_headers(secrets),
            transport=transport_to(settings.base_url),
        )

    def __enter__(self) -> "ModelClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, request: Request) -> Answer:
        """The model's answer.

        Rate limits, errors of the server and of the network are waited out: up to `retries` times
        running, never longer than the call's time, and only where the pause that the server asks
        for is bearable.

        Raises:
            ModelFault: there is none.
            ContextOverflow: the conversation must be made shorter.
            ToolsRefused: the conversation must do without tools.
        """
        tries = 0
        while True:
            try:
                return self._once(request)
            except ModelFault as fault:
                if self._adapt(fault, request):
                    continue
                pause = self._pause(fault, tries)
                if pause is None:
                    raise
                tries += 1
                self._events.emit(Retry(error=str(fault), status=fault.status, seconds=pause))
                time.sleep(pause)

    def _adapt(self, fault: ModelFault, request: Request) -> bool:
        """Whether the request is worth sending again at once, in another form."""
        found = adapt(self.features, fault.status, str(fault))
        if found is None:
            if is_overflow(fault.status, str(fault)):
                raise ContextOverflow(str(fault)) from fault
            return False
        lost_tools = self.features.tools and not found.tools
        if lost_tools and any(message.calls for message in request.messages):
            # It has taken tools before: this is about one call.
            return False
        self._events.emit(Note(text=f"the server refused a part of the request: {fault}"))
        self.features = found
        if lost_tools:
            raise ToolsRefused(str(fault)) from fault
        return True

    def _pause(self, fault: ModelFault, tries: int) -> float | None:
        """Seconds until the next try; None: it would not help, or not in time."""
        if classify(str(fault), fault.status) is Trouble.OTHER or tries >= self._settings.retries:
            return None
        pause = min(self._settings.backoff_seconds * 2**tries, BACKOFF_CAP_SECONDS)
        # Calls that were refused together should not come back together.
        pause = max(pause * uniform(1.0, JITTER), fault.retry_after or 0.0)
        longest = min(self._settings.longest_pause_seconds, self._clock.left())
        return pause if pause < longest else None

    def _once(self, request: Request) -> Answer:
        seconds = min(self._settings.request_timeout_seconds, self._clock.left() + OVERTIME_SECONDS)
        if seconds <= 0:
            raise ModelFault("the time of the call is up", NO_HTTP)
        try:
            with self._http.stream(
                "POST",
                f"{self._settings.base_url.rstrip('/')}/chat/completions",
                content=json.dumps(self._body(request)).encode("ascii"),
                timeout=httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS)),
            ) as response:
                if response.status_code != 200:
                    raise refusal(response)
                return self._read(response)
        except httpx.TimeoutException as error:
            raise ModelFault(
                f"network error: the server said nothing for {seconds:.0f} s"
            ) from error
        except httpx.TransportError as error:
            said = str(error) or type(error).__name__
            raise ModelFault(f"network error: {said}") from error
        except httpx.HTTPError as error:
            raise ModelFault(f"the answer cannot be read: {error}", NO_HTTP) from error
        except MalformedAnswer as error:
            raise ModelFault(f"empty or malformed response: {error}") from error
        except StreamError as error:
            raise ModelFault(str(error), error.status) from error

    def _body(self, request: Request) -> dict[str, Any]:
        settings, features = self._settings, self.features
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": to_wire(request.messages, features.system_role),
            "stream": True,
        }
        if features.usage:
            body["stream_options"] = {"include_usage": True}
        if features.temperature and settings.temperature is not None:
            body["temperature"] = settings.temperature
        if features.output_limit is not None and settings.max_output_tokens is not None:
            body[features.output_limit] = settings.max_output_tokens
        if features.tools:
            body["tools"] = list(request.tools)
            if not request.tool_use and features.tool_choice:
                body["tool_choice"] = "none"
        return body

    def _read(self, response: httpx.Response) -> Answer:
        builder = AnswerBuilder()
        if response.headers.get("content-type", "").startswith("application/json"):
            builder.feed(self._whole(response))
            builder.feed(DONE)
        else:
            for line in data_lines(self._in_time(response)):
                if line:
                    builder.feed(line)
                if line == DONE:
                    break
        framed = {"transfer-encoding", "content-length"} & set(response.headers)
        # Only a framed body tells its proper end from a lost connection.
        if not builder.has_ended and (builder.is_empty or not framed):
            raise MalformedAnswer("the stream ended before the answer did")
        return builder.answer()

    def _whole(self, response: httpx.Response) -> bytes:
        body = bytearray()
        for piece in self._in_time(response):
            body += piece
            if len(body) > BODY_LIMIT_BYTES:
                raise MalformedAnswer("the answer has no end")
        return bytes(body)

    def _in_time(self, response: httpx.Response) -> Iterator[bytes]:
        """The body in pieces. A server that only keeps the line busy runs into the deadline."""
        told, size = time.monotonic(), 0
        for piece in response.iter_bytes():
            if self._clock.left() <= -OVERTIME_SECONDS:
                raise httpx.ReadTimeout("the time of the call is up")
            size += len(piece)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                self._events.emit(Progress(bytes=size))
            yield piece


def request_headers(secrets: Secrets) -> dict[str, str]:
    """The headers of every request; the extra ones win."""
    found = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if secrets.api_key:
        found["Authorization"] = f"Bearer {secrets.api_key}"
    return found | dict(secrets.headers)


def refusal(response: httpx.Response) -> ModelFault:
    """What an answer other than 200 says."""
    status = response.status_code
    body = b""
    for piece in response.iter_bytes():
        body += piece
        if len(body) > ERROR_BODY_BYTES:
            break
    message, _ = error_of(body)
    if response.is_redirect:
        message = f"it leads on to {response.headers.get('location')}: give that as the URL"
    elif status in (401, 403):
        message += " (is the API key set, and the right one?)"
    fault = ModelFault(f"the server answered {status}: {message}", status)
    fault.retry_after = asked_pause(response.headers, message)
    return fault


def asked_pause(headers: httpx.Headers, message: str) -> float | None:
    """Seconds that a refused request should wait, by its headers or else by the message."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(ValueError):
            return max(0.0, float(headers.get(name, "")) * unit)
    now = datetime.now().astimezone()
    with suppress(ValueError):
        due = parsedate_to_datetime(headers.get("retry-after", ""))
        return max(0.0, (due - now).total_seconds())
    return seconds_until_reset(message, now)
