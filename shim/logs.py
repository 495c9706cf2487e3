"""Reading a run's log: a part of it, or as it grows."""

import asyncio
import codecs
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from wildloop.blocks.launchers.record import open_to_read
from wildloop.flows.errors import AWAY
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.run import LogChunk, Run, RunStatus
from wildloop.shim.folder_copy import is_whole, notes_of

logger = logging.getLogger("wildloop.shim")

LIMIT_BYTES = 1024 * 1024
STREAM_BYTES = 65_536
POLL_SECONDS = 0.3
HEARTBEAT_SECONDS = 15.0
RETRY_MS = 2000


def read_log(run: Run, offset: int, limit: int) -> LogChunk:
    """At most `limit` bytes from byte `offset` (negative: from the end), as whole characters."""
    path = RunPaths(Path(run.run_dir)).log
    try:
        # Where a link stands, the log would show another file.
        file = open_to_read(path)
    except OSError:
        ended = run.status.is_terminal and is_whole(run)
        none = LogChunk(run_id=run.id, content="", offset=0, next_offset=0, size=0, eof=ended)
        return none.model_copy(update={"notes": notes_of(run)})
    with file:
        size = os.fstat(file.fileno()).st_size
        start = min(offset if offset >= 0 else max(0, size + offset), size)
        file.seek(start)
        data = file.read(limit)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    content = decoder.decode(data)
    held = len(decoder.getstate()[0])
    end = start + len(data) - held
    # Half a character waits for its other half, unless none will come or none would fit.
    is_last = run.status.is_terminal and start + len(data) >= size
    if held and (is_last or (end == start and len(data) >= limit)):
        content, end = content + decoder.decode(b"", final=True), start + len(data)
    return LogChunk(
        run_id=run.id,
        content=content,
        offset=start,
        next_offset=end,
        size=size,
        eof=run.status.is_terminal and end >= size and is_whole(run),
        notes=notes_of(run, path.name) if is_last else [],
    )


@dataclass(frozen=True)
class LogFollower:
    """Follows a run's log as server-sent events.

    Each `log` event bears as its id the byte after its content, so that a client which reconnects
    with `Last-Event-ID` goes on there. `end` comes once the run has ended and all is told; `note`
    says what has not come of it yet. Where nothing happens, comments keep the connection open. One
    part of the log is held at a time: a slow client slows down the reading.
    """

    look: Callable[[], Awaitable[Run]]
    offset: int = 0
    poll_seconds: float = POLL_SECONDS
    heartbeat_seconds: float = HEARTBEAT_SECONDS

    async def events(self) -> AsyncIterator[str]:
        """The events, as text of the event stream."""
        run, offset, told = await self.look(), self.offset, time.monotonic()
        noted: list[str] = []
        yield f"retry: {RETRY_MS}\n\n"
        while True:
            chunk = await asyncio.to_thread(read_log, run, offset, STREAM_BYTES)
            offset = chunk.next_offset
            if chunk.content:
                told = time.monotonic()
                yield _event("log", offset, LogPart.model_validate(chunk.model_dump()))
            if chunk.eof:
                end = LogEnd(status=run.status, exit_code=run.exit_code, error=run.error)
                yield _event("end", offset, end)
                return
            if chunk.content:
                continue
            if time.monotonic() - told > self.heartbeat_seconds:
                told = time.monotonic()
                yield ": still running\n\n"
                if run.status.is_terminal and chunk.notes != noted:
                    noted = chunk.notes
                    yield _event("note", offset, LogNote(notes=noted))
            await asyncio.sleep(self.poll_seconds)
            try:
                run = await self.look()
            except AWAY as error:
                # What the run writes can be read all the same; whether it ended, a little later.
                logger.warning("run %s not read (%s): asking again", run.id, error)


class LogPart(BaseModel):
    """Data of a `log` event. The offsets are bytes."""

    content: str
    offset: int
    next_offset: int


class LogNote(BaseModel):
    """Data of a `note` event: what is missing of an ended run's log, and why."""

    notes: list[str]


class LogEnd(BaseModel):
    """Data of the `end` event."""

    status: RunStatus
    exit_code: int | None
    error: str | None


def _event(name: str, id: int, data: BaseModel) -> str:
    # Also in the data, for readers of `data:` lines alone.
    typed = json.dumps({"type": name, **data.model_dump(mode="json")}, separators=(",", ":"))
    return f"id: {id}\nevent: {name}\ndata: {typed}\n\n"
