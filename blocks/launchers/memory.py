"""How much memory a command has had while it runs: what the kernel tells at its end is too coarse.

The kernel counts for a process what the one that it was forked from had, here the worker. So of
what is smaller only the processes' own peaks tell, which are gone with them (Linux).
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from wildloop.blocks.launchers.record import peak_memory, write_peak_memory

logger = logging.getLogger(__name__)
FIRST_LOOK_S = 0.1
LAST_LOOK_S = 5.0
GROWTH = 1.01
_HAS_PROC = sys.platform == "linux"


@asynccontextmanager
async def peak_followed(folder: Path, pid: int) -> AsyncIterator[None]:
    """Keep the peak of the largest process below a wrapper in its folder, as long as this lasts.

    Args:
        folder: of the launch.
        pid: of its wrapper, which is not counted itself.
    """
    following = asyncio.create_task(_follow(folder, pid)) if _HAS_PROC else None
    try:
        yield
    finally:
        if following is not None:
            following.cancel()
            await asyncio.wait({following})
            if not following.cancelled() and (error := following.exception()) is not None:
                logger.warning("the memory of '%s' was not followed: %r", folder, error)


async def _follow(folder: Path, pid: int) -> None:
    told, pause = peak_memory(folder) or 0, FIRST_LOOK_S
    while True:
        await asyncio.sleep(pause)
        seen = await asyncio.to_thread(largest_below, pid)
        # The kernel's word at the end may have come meanwhile.
        if seen > GROWTH * max(told, peak_memory(folder) or 0):
            told = seen
            write_peak_memory(folder, seen)
        pause = min(LAST_LOOK_S, 1.5 * pause)


def largest_below(pid: int) -> int:
    """Bytes that the largest living descendant of a process has had at its peak; 0 for none."""
    found, left = 0, _children(pid)
    while left:
        child = left.pop()
        found = max(found, _peak(child))
        left += _children(child)
    return found


def _children(pid: int) -> list[int]:
    """Of all its threads. What ends meanwhile has none."""
    found = list[int]()
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += map(int, (thread / "children").read_text(encoding="ascii").split())
    return found


def _peak(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0
