"""Where messages arrive: an HTTP sink and an SMTP sink on this machine."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ANSWERS = {b"EHLO": "250-sink\r\n250 AUTH PLAIN", b"AUTH": "235 ok", b"QUIT": "221 bye"}


class HttpSink:
    """Keeps the JSON of every POST, with its path; answers `status`."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sink.got.append((self.path, json.loads(body)))
                self.send_response(sink.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_address[1])

    def titles(self, path: str) -> list[str]:
        """The titles of what came to a path."""
        return [str(body["title"]) for where, body in self.got if where == path]

    def text(self, path: str, title: str) -> str:
        """The text of the first message to a path whose title begins so."""
        return next(
            str(body["message"])
            for where, body in self.got
            if where == path and body["title"].startswith(title)
        )


class SmtpSink:
    """Keeps every mail; takes what any client without encryption sends."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        sink = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.say("220 sink")
                while line := self.rfile.readline():
                    word = line[:4].upper()
                    if word == b"DATA":
                        self.say("354 go on")
                        lines = iter(self.rfile.readline, b".\r\n")
                        sink.mails.append(message_from_bytes(b"".join(lines)))
                    self.say(ANSWERS.get(word, "250 ok"))
                    if word == b"QUIT":
                        return

            def say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.server_address[1])

    def text(self, number: int = 0) -> str:
        """The text of a mail."""
        parts = [part for part in self.mails[number].walk() if not part.is_multipart()]
        return bytes(parts[0].get_payload(decode=True)).decode()


@contextmanager
def http_sink() -> Iterator[HttpSink]:
    """An HTTP sink that listens."""
    sink = HttpSink()
    with _serving(sink.server):
        yield sink


@contextmanager
def smtp_sink() -> Iterator[SmtpSink]:
    """An SMTP sink that listens."""
    sink = SmtpSink()
    with _serving(sink.server):
        yield sink


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
