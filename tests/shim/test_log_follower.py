"""A log as server-sent events."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from wildloop.flows.errors import PrefectAway
from wildloop.flows.models.copy import NOTE, FolderNote
from wildloop.flows.models.run import Run, RunStatus
from wildloop.shim.logs import STREAM_BYTES, LogFollower


def run_at(folder: Path, status: RunStatus) -> Run:
    """A run whose folder this is."""
    return Run(
        id="r",
        name="r",
        command="true",
        workdir="/w",
        status=status,
        created_at=0,
        exit_code=0 if status.is_terminal else None,
        run_dir=str(folder),
    )


class Script:
    """Answers to `look`, one after the other; the last stays."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)

    async def __call__(self) -> Run:
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        found = step() if callable(step) else step
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Run)
        return found


def follow(script: Script, offset: int = 0, heartbeat: float = 60.0) -> LogFollower:
    """A follower that does not wait."""
    return LogFollower(script, offset, poll_seconds=0.0, heartbeat_seconds=heartbeat)


def parsed(text: str) -> tuple[str, int, dict[str, Any]]:
    """Name, id and data of an event."""
    fields = dict(line.split(": ", 1) for line in text.strip().split("\n"))
    return fields["event"], int(fields["id"]), json.loads(fields["data"])


async def test_ended_run_gives_its_log_and_the_end(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("one\ntwo\n\nünd\r\n")
    texts = [t async for t in follow(Script(run_at(tmp_path, RunStatus.FINISHED))).events()]
    assert texts[0].startswith("retry: ")
    (name, id, data), (last, end_id, end) = map(parsed, texts[1:])
    assert (name, id, data["content"]) == ("log", 15, "one\ntwo\n\nünd\r\n")
    told = {"type": "end", "status": "finished", "exit_code": 0, "error": None}
    assert (last, end_id, end) == ("end", 15, told)


async def test_every_event_id_is_where_to_go_on(tmp_path: Path) -> None:
    content = "zeile ü €\n" * (3 * STREAM_BYTES // 10)
    (tmp_path / "run.log").write_text(content)
    ended = run_at(tmp_path, RunStatus.FINISHED)
    events = [parsed(t) async for t in follow(Script(ended)).events() if t.startswith("id")]
    assert len(events) > 3
    assert "".join(data["content"] for name, _, data in events if name == "log") == content
    for at in range(len(events) - 1):
        rest = [
            parsed(t)
            async for t in follow(Script(ended), events[at][1]).events()
            if t.startswith("id")
        ]
        assert rest[-1] == events[-1]
        told = "".join(data["content"] for name, _, data in events[: at + 1])
        assert told + "".join(d["content"] for n, _, d in rest if n == "log") == content


async def test_growing_log_is_followed_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "run.log"

    def grow() -> Run:
        log.write_bytes(b"one\nha\xc3")
        return run_at(tmp_path, RunStatus.RUNNING)

    def finish() -> Run:
        log.write_bytes(b"one\nha\xc3\xbc\n")
        return run_at(tmp_path, RunStatus.FINISHED)

    script = Script(run_at(tmp_path, RunStatus.QUEUED), grow, finish)
    events = [parsed(t) async for t in follow(script).events() if t.startswith("id")]
    assert [data.get("content") for _, _, data in events] == ["one\nha", "ü\n", None]
    assert events[-1][0] == "end"


async def test_quiet_connection_is_kept_open_by_comments(tmp_path: Path) -> None:
    running = run_at(tmp_path, RunStatus.RUNNING)
    script = Script(running, running, running, run_at(tmp_path, RunStatus.STOPPED))
    texts = [t async for t in follow(script, heartbeat=-1).events()]
    assert [t for t in texts if t.startswith(":")] == [": still running\n\n"] * 3
    assert parsed(texts[-1])[2]["status"] == "stopped"


@pytest.mark.parametrize("away", [httpx.ConnectError("refused"), PrefectAway("refused", 12.0)])
async def test_server_that_does_not_answer_ends_no_stream(tmp_path: Path, away: Exception) -> None:
    (tmp_path / "run.log").write_text("x")
    script = Script(
        run_at(tmp_path, RunStatus.RUNNING),
        away,
        run_at(tmp_path, RunStatus.FINISHED),
    )
    events = [parsed(t)[0] async for t in follow(script).events() if t.startswith("id")]
    assert events == ["log", "end"]


async def test_what_is_missing_of_an_ended_run_elsewhere_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text("one")
    (tmp_path / NOTE).write_text(FolderNote(host="there").model_dump_json())
    run = run_at(tmp_path, RunStatus.FINISHED).model_copy(update={"finished_at": time.time()})
    whole = run.model_copy(update={"finished_at": 0.0})
    texts = [t async for t in follow(Script(run, run, run, whole), heartbeat=0.0).events()]
    events = [parsed(text) for text in texts if "event:" in text]
    assert [name for name, _, _ in events] == ["log", "note", "end"]
    assert events[1][2]["notes"] == ["more may come from 'there'"]
