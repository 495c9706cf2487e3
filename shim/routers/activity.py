"""What a session's agent does, over HTTP, while it does it."""

import asyncio
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.models.session import SessionActivity
from wildloop.flows.store.session_mapping import spec_of
from wildloop.flows.store.states import session_status
from wildloop.shim.apart import READ
from wildloop.shim.deps import Sessions
from wildloop.shim.errors import RESPONSES

LIMIT_BYTES = 1024 * 1024

router = APIRouter(prefix="/wild/v2", tags=["wild"], responses=RESPONSES)


@router.get(
    "/activity/{session_id}",
    summary="What a session's agent does, in short lines",
    openapi_extra=READ,
)
async def get_activity(
    session_id: str,
    sessions: Sessions,
    offset: Annotated[int, Query(description="In bytes; negative: from the end.")] = -8192,
    limit: Annotated[int, Query(ge=1024, le=LIMIT_BYTES)] = 65_536,
) -> SessionActivity:
    """Whole lines, as they come. Follow by asking again from `next_offset` until `eof`."""
    flow_run = await sessions.flow_run(await sessions.id_of(session_id))
    has_ended = session_status(flow_run.state).is_terminal
    path = SessionPaths.of(spec_of(flow_run).workdir, str(flow_run.id)).activity
    part = await asyncio.to_thread(read_lines, path, offset, limit)
    part.session_id = str(flow_run.id)
    part.eof = has_ended and part.next_offset >= part.size
    return part


def read_lines(path: Path, offset: int, limit: int) -> SessionActivity:
    """Whole lines of a growing file from byte `offset` on (negative: from the end).

    A file that is shorter than `offset` has been begun anew: it is read from its beginning.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            start = offset if offset >= 0 else max(0, size + offset)
            start = start if start <= size else 0
            file.seek(start)
            if offset < 0 and start > 0:
                start += len(file.readline())
            data = file.read(limit)
    except FileNotFoundError:
        start, size, data = 0, 0, b""
    content = data[: data.rfind(b"\n") + 1]
    return SessionActivity(
        session_id="",
        content=content.decode("utf-8", "replace"),
        offset=start,
        next_offset=start + len(content),
        size=size,
        eof=False,
    )
