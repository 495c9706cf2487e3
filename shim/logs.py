"""Reading a part of a run's log."""

import codecs
from pathlib import Path

from flows.models.run import LogChunk, Run
from flows.paths import RunPaths

LIMIT_BYTES = 1024 * 1024


def read_log(run: Run, offset: int, limit: int) -> LogChunk:
    """At most `limit` bytes from byte `offset` (negative: from the end), as whole characters."""
    path = RunPaths(Path(run.run_dir)).log
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        ended = run.status.is_terminal
        return LogChunk(run_id=run.id, content="", offset=0, next_offset=0, size=0, eof=ended)
    start = min(offset if offset >= 0 else max(0, size + offset), size)
    with path.open("rb") as file:
        file.seek(start)
        data = file.read(limit)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    content = decoder.decode(data)
    held = len(decoder.getstate()[0])
    end = start + len(data) - held
    if held and (end == start or (run.status.is_terminal and start + len(data) >= size)):
        content, end = content + decoder.decode(b"", final=True), start + len(data)
    return LogChunk(
        run_id=run.id,
        content=content,
        offset=start,
        next_offset=end,
        size=size,
        eof=run.status.is_terminal and end >= size,
    )
