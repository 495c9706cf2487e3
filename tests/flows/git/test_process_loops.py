"""Git works on another event loop than Python's own too: whoever calls our flows chooses theirs."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from wildloop.flows.git.process import run_git

LOOPS: list[Callable[[], asyncio.AbstractEventLoop]] = [
    asyncio.new_event_loop,
    uvloop.new_event_loop,
]


@pytest.mark.parametrize("loop", LOOPS, ids=["asyncio", "uvloop"])
def test_git_with_and_without_input(
    repository: Path, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def both() -> tuple[bytes, bytes]:
        hashed = await run_git(repository, "hash-object", "-w", "--stdin", stdin=b"said\n")
        # Ends before any input could be read.
        plain = [await run_git(repository, "rev-parse", "--git-dir") for _ in range(20)]
        return await run_git(repository, "cat-file", "-p", hashed.decode().strip()), plain[-1]

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(both()) == (b"said\n", b".git\n")
