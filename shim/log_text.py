"""A run's log as it lies on disk, over HTTP: whole and compressed, or by byte ranges."""

import asyncio
import os
import re
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from fastapi import Response
from fastapi.responses import StreamingResponse

from wildloop.blocks.launchers.record import open_to_read
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.run import Run

PART_BYTES = 256 * 1024
LEAST_COMPRESSED = 1024
GZIP = 16 + zlib.MAX_WBITS
FAST = 1
MEDIA_TYPE = "text/plain; charset=utf-8"
_RANGE = re.compile(r"bytes=(?:(?P<first>\d{1,18})-(?P<last>\d{0,18})|-(?P<suffix>\d{1,18}))")


def log_text(run: Run, wanted: str | None, encodings: str) -> Response:
    """The log as far as it is written now; empty where there is none.

    Args:
        run: whose.
        wanted: the request's Range. One that is malformed, or of several parts, asks for all.
        encodings: the request's Accept-Encoding. A part is never compressed.
    """
    try:
        # Where a link stands, the log would show another file.
        file = open_to_read(RunPaths(Path(run.run_dir)).log)
    except OSError:
        return Response("", media_type=MEDIA_TYPE)
    size = os.fstat(file.fileno()).st_size
    span, headers = _span(wanted, size), {"Accept-Ranges": "bytes", "Vary": "Accept-Encoding"}
    if span is None and wanted is not None and _RANGE.fullmatch(wanted.strip()):
        file.close()
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    first, end = span or (0, size)
    file.seek(first)
    parts = _parts(file, end - first)
    if span is not None:
        headers |= {"Content-Range": f"bytes {first}-{end - 1}/{size}"}
    if span is None and size >= LEAST_COMPRESSED and "gzip" in encodings.lower():
        headers["Content-Encoding"] = "gzip"
        parts = _compressed(parts)
    else:
        headers["Content-Length"] = str(end - first)
    status = 200 if span is None else 206
    return StreamingResponse(parts, status, headers, MEDIA_TYPE)


def _span(wanted: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one behind the last; None for all, and where nothing of it is there."""
    found = _RANGE.fullmatch(wanted.strip()) if wanted is not None else None
    if found is None:
        return None
    if found["suffix"] is not None:
        first, end = max(0, size - int(found["suffix"])), size
    else:
        first = int(found["first"])
        end = min(size, int(found["last"]) + 1) if found["last"] else size
    return (first, end) if first < end else None


async def _parts(file: BinaryIO, left: int) -> AsyncIterator[bytes]:
    """What was there at the beginning; a log that is cut meanwhile ends the answer early."""
    with file:
        while left and (part := await asyncio.to_thread(file.read, min(left, PART_BYTES))):
            left -= len(part)
            yield part


async def _compressed(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(FAST, wbits=GZIP)
    async for part in parts:
        if packed := await asyncio.to_thread(packer.compress, part):
            yield packed
    yield packer.flush()
