"""Following a log by the event stream."""

import json
from collections.abc import Callable, Iterator

import httpx
import pytest

from wildloop.shim.cli.follow import follow_log
from wildloop.shim.client.errors import ClientError


class Torn(httpx.SyncByteStream):
    """A stream of events that breaks off, or ends."""

    def __init__(self, *parts: bytes, breaks: bool = True) -> None:
        self.parts, self.breaks = parts, breaks

    def __iter__(self) -> Iterator[bytes]:
        yield b"retry: 2000\n\n"
        yield from self.parts
        if self.breaks:
            raise httpx.ReadError("gone")


def log(content: str, end: int) -> bytes:
    data = json.dumps({"content": content, "offset": 0, "next_offset": end}, ensure_ascii=False)
    return f"id: {end}\nevent: log\ndata: {data}\n\n".encode()


END = b'id: 9\nevent: end\ndata: {"status": "finished", "exit_code": 0, "error": null}\n\n'


def follow(
    answers: list[httpx.Response | httpx.HTTPError], patience_s: float = 600.0
) -> tuple[list[str], list[str | None]]:
    """The parts of the log, and the Last-Event-ID of each request."""
    asked: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("Last-Event-ID"))
        found = answers.pop(0)
        if isinstance(found, httpx.HTTPError):
            raise found
        return found

    with httpx.Client(base_url="http://api", transport=httpx.MockTransport(answer)) as http:
        parts = follow_log(http, "r", patience_s=patience_s, pause=lambda seconds: None)
        return list(parts), asked


def stream(*parts: bytes, breaks: bool = True) -> httpx.Response:
    return httpx.Response(200, stream=Torn(*parts, breaks=breaks))


def test_it_goes_on_after_a_break_where_it_was() -> None:
    found, asked = follow(
        [
            stream(log("a", 1), log("b", 2)),
            httpx.ConnectError("refused"),
            httpx.Response(503, json={"detail": "away"}),
            stream(),
            stream(breaks=False),
            stream(log("c", 3), END),
        ]
    )
    assert found == ["a", "b", "c"]
    assert asked == [None, "2", "2", "2", "2", "2"]


def test_break_before_the_first_line_is_no_end() -> None:
    found, asked = follow([stream(b": still running\n\n"), stream(log("a", 1), END)])
    assert (found, asked) == (["a"], [None, None])


def test_event_in_pieces_and_odd_ends_of_line_are_read_whole() -> None:
    whole = log("one\u2028two\x85three\n", 7) + END
    pieces = [whole[place : place + 3] for place in range(0, len(whole), 3)]
    assert follow([stream(*pieces, breaks=False)])[0] == ["one\u2028two\x85three\n"]


@pytest.mark.parametrize(
    ("answers", "part"),
    [
        (lambda: [httpx.ConnectError("refused")], "start one with `wildloop up`"),
        (lambda: [httpx.Response(404, json={"detail": "no run with id 'r'"})], "no run with id"),
        (lambda: [stream(log("a", 1)), httpx.ReadTimeout("late")], "does not answer"),
        (lambda: [stream(), httpx.Response(401, json={"detail": "wrong token"})], "wrong token"),
    ],
)
def test_what_cannot_be_followed_is_told(
    answers: Callable[[], list[httpx.Response | httpx.HTTPError]], part: str
) -> None:
    with pytest.raises(ClientError, match=part):
        follow(answers(), patience_s=0.0)
