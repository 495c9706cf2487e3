"""The stub's HTTP server: threads, one script, every request noted."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from tests.support.stub_models.steps import (
    Bulk,
    Drop,
    Garbage,
    Hang,
    Refuse,
    Say,
    Shell,
    Step,
    Use,
)
from tests.support.stub_models.wire import WIRES, Wire


@dataclass(frozen=True)
class Seen:
    """A request that came. `outputs`: of tools, in the conversation so far, searches left out."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    tools: tuple[str, ...]
    outputs: int = 0
    found_tools: tuple[str, ...] = ()

    def offers(self, tool: str) -> bool:
        """Whether the client has shown a tool whose name ends so, at first or when asked."""
        return any(name.endswith(tool) for name in (*self.tools, *self.found_tools))


class StubModel:
    """Answers requests that offer tools by `steps`, the last one for ever.

    Requests without tools (titles, topics, quota probes) are answered with a word and use up no
    step, unless `toolless` says that they are meant. A context manager; `url` has no path.
    `decide`, called by one thread at a time, takes the place of the steps.
    """

    def __init__(
        self, *steps: Step, toolless: bool = False, decide: Callable[[Seen], Step] | None = None
    ) -> None:
        self.toolless = toolless
        self.decide = decide
        self.steps: Sequence[Step] = steps or (Say(),)
        self.seen: list[Seen] = []
        self.closing = threading.Event()
        self._next = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stub = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def main(self) -> list[Seen]:
        """The requests that were answered by the script."""
        return [request for request in self.seen if request.tools or self.toolless]

    def __enter__(self) -> "StubModel":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, request: Seen) -> Step:
        """Note a request; the step to answer it with."""
        with self._lock:
            self.seen.append(request)
            if not request.tools and not self.toolless:
                return Say("stub", cached_tokens=0)
            if self.decide is not None:
                return self.decide(request)
            step = self.steps[min(self._next, len(self.steps) - 1)]
            self._next += 1
            return step


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    stub: StubModel


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self._json(200, {"object": "list", "data": [{"id": "stub", "object": "model"}]})

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        kind = next((found for end, found in WIRES.items() if path.endswith(end)), None)
        if kind is None:
            self._json(200 if path.endswith("/count_tokens") else 404, {"input_tokens": 10})
            return
        wire, body = kind(), json.loads(raw)
        request = Seen(
            path=self.path,
            headers=dict(self.headers),
            body=body,
            tools=tuple(wire.tools(body)),
            outputs=wire.outputs(body),
            found_tools=tuple(wire.found_tools(body)),
        )
        step = self.server.stub.take(request)
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answer(wire, step, body)

    def _answer(self, wire: Wire, step: Step, body: dict[str, Any]) -> None:
        match step:
            case Refuse():
                headers = {} if step.retry_after is None else {"retry-after": step.retry_after}
                self._json(step.status, wire.error(step), headers)
            case Garbage():
                self._begin(step.content_type)
                self.wfile.write(step.body)
            case Hang():
                self._begin()
                self.wfile.flush()
                self.server.stub.closing.wait()
            case Drop():
                if step.in_stream:
                    self._begin()
                    self.wfile.write(next(wire.text(Say("cut"), body)))
                    self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            case Say() | Bulk():
                self._stream(wire.text(step, body))
            case Shell() | Use():
                self._stream(wire.call(step, body))

    def _begin(self, content_type: str = "text/event-stream") -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()

    def _stream(self, events: Iterator[bytes]) -> None:
        self._begin()
        for event in events:
            self.wfile.write(event)

    def _json(
        self, status: int, body: dict[str, Any], headers: dict[str, Any] | None = None
    ) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)
