"""Equal reads are shared, and never older than the question."""

import asyncio

import pytest

from wildloop.shim.page.shared_reads import SharedReads


class Source:
    """Counts its reads; each lasts until it is let go."""

    def __init__(self) -> None:
        self.value, self.reads = 0, 0
        self.gates: list[asyncio.Event] = []

    async def read(self) -> int:
        self.reads += 1
        seen, gate = self.value, asyncio.Event()
        self.gates.append(gate)
        await gate.wait()
        return seen


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_who_ask_during_a_read_share_the_next_one() -> None:
    source, reads = Source(), SharedReads[int]()
    first = asyncio.create_task(reads.get("a", source.read))
    await settle()
    source.value = 1
    later = [asyncio.create_task(reads.get("a", source.read)) for _ in range(20)]
    await settle()
    assert source.reads == 1
    source.gates[0].set()
    await settle()
    assert (await first, source.reads) == (0, 2)
    source.gates[1].set()
    assert await asyncio.gather(*later) == [1] * 20
    again = asyncio.create_task(reads.get("a", source.read))
    await settle()
    source.gates[2].set()
    assert (await again, source.reads) == (1, 3)


async def test_different_questions_do_not_wait_for_each_other() -> None:
    source, reads = Source(), SharedReads[int]()
    tasks = [asyncio.create_task(reads.get(key, source.read)) for key in "ab"]
    await settle()
    assert source.reads == 2
    for gate in source.gates:
        gate.set()
    assert await asyncio.gather(*tasks) == [0, 0]


async def test_failure_reaches_its_waiters_and_not_the_next_read() -> None:
    reads, calls = SharedReads[int](), []

    async def read() -> int:
        calls.append(1)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise ValueError("no answer")
        return 5

    first = asyncio.create_task(reads.get("a", read))
    await asyncio.sleep(0)
    second = asyncio.create_task(reads.get("a", read))
    with pytest.raises(ValueError, match="no answer"):
        await first
    assert await second == 5


async def test_one_who_leaves_does_not_end_the_read_of_the_others() -> None:
    source, reads = Source(), SharedReads[int]()
    leaving = asyncio.create_task(reads.get("a", source.read))
    await settle()
    staying = asyncio.create_task(reads.get("a", source.read))
    await settle()
    leaving.cancel()
    source.gates[0].set()
    await settle()
    source.gates[1].set()
    assert await staying == 0
