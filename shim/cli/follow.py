"""Follows a run's log by the event stream of the API, over breaks of the connection."""

import time
from collections.abc import Callable, Iterator

import httpx
import typer

from wildloop.shim.client.errors import AWAY, no_answer, refusal
from wildloop.shim.logs import HEARTBEAT_SECONDS, RETRY_MS, LogNote, LogPart

# A server that restarts is back long before; one that does not, never is.
PATIENCE_SECONDS = 600.0
TIMEOUT = httpx.Timeout(30.0, read=3 * HEARTBEAT_SECONDS)


def follow_log(
    http: httpx.Client,
    run_id: str,
    offset: int = 0,
    *,
    patience_s: float = PATIENCE_SECONDS,
    pause: Callable[[float], None] = time.sleep,
    note: Callable[[str], None] = lambda _: None,
) -> Iterator[str]:
    """The text of a run's log as it is written, until the run has ended.

    After a break it goes on by `Last-Event-ID` where it was: nothing is missing, nothing twice.

    Args:
        http: a client of the API.
        run_id: the run.
        offset: the byte to begin with; negative: from the end.
        patience_s: how long, after a break, an API that does not answer is asked again.
        pause: waits so many seconds.
        note: is told what is missing of a log whose run has ended.

    Raises:
        ClientError: the API refuses, never answers, or stays away after a break.
    """
    headers: dict[str, str] = {}
    has_answered, away_since = False, None
    while True:
        try:
            for id, name, data in _events(http, run_id, offset, headers):
                has_answered, away_since = True, None
                if name == "end":
                    return
                if name == "note":
                    for one in LogNote.model_validate_json(data).notes:
                        note(one)
                if name == "log":
                    headers = {"Last-Event-ID": id}
                    yield LogPart.model_validate_json(data).content
        except httpx.HTTPError as error:
            is_late = away_since is not None and time.monotonic() - away_since > patience_s
            if is_late or not has_answered:
                raise no_answer(str(http.base_url), error) from error
        if away_since is None:
            away_since = time.monotonic()
            typer.echo(f"{http.base_url} is away: trying again", err=True)
        pause(RETRY_MS / 1000)


def _events(
    http: httpx.Client, run_id: str, offset: int, headers: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Id, name and data of each event of one connection; the first, `open`, is that it stands."""
    path = f"/runs/{run_id}/logs/stream"
    with http.stream(
        "GET", path, params={"offset": offset}, headers=headers, timeout=TIMEOUT
    ) as response:
        if response.status_code in AWAY:
            raise httpx.RemoteProtocolError(f"it answers {response.status_code}")
        if response.is_error:
            response.read()
            raise refusal(response)
        yield "", "open", ""
        fields: dict[str, str] = {}
        for line in _lines(response.iter_text()):
            if line:
                name, _, value = line.partition(":")
                fields[name] = value.removeprefix(" ")
            else:
                if {"id", "event", "data"} <= fields.keys():
                    yield fields["id"], fields["event"], fields["data"]
                fields = {}


def _lines(texts: Iterator[str]) -> Iterator[str]:
    """Whole lines: JSON may hold what other splitters take for an end of line (U+2028, U+0085)."""
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        yield from whole
