"""What is read once a second for all who ask."""

import asyncio

import pytest

from wildloop.flows.store.recent import KEPT, Recent


class Source:
    """Counts how often it is read, and fails when it is told to."""

    def __init__(self) -> None:
        self.now, self.reads, self.fails = 0.0, 0, False

    def clock(self) -> float:
        """Seconds, as they were set."""
        return self.now

    async def read(self) -> int:
        """How often it was read."""
        self.reads += 1
        number = self.reads
        await asyncio.sleep(0)
        if self.fails:
            raise RuntimeError("away")
        return number


async def told(recent: Recent, source: Source, key: str = "k", changes: object = 0) -> int:
    """The answer alone."""
    return (await recent.get(key, changes, source.read))[0]


async def test_all_who_ask_within_a_second_share_one_read() -> None:
    source = Source()
    recent = Recent(1.0, source.clock)
    assert await asyncio.gather(*(told(recent, source) for _ in range(9))) == [1] * 9
    source.now = 1.0
    assert await told(recent, source) == 1
    source.now = 1.1
    assert await told(recent, source) == 2
    assert await told(recent, source, "other") == 3


async def test_after_a_change_it_is_read_again_though_a_read_is_under_way() -> None:
    source = Source()
    recent = Recent(1.0, source.clock)
    before = asyncio.ensure_future(told(recent, source))
    await asyncio.sleep(0)
    assert await told(recent, source, changes=1) == 2
    assert await before == 1


async def test_a_read_that_fails_fails_for_those_who_wait_and_is_not_kept() -> None:
    source = Source()
    recent = Recent(1.0, source.clock)
    source.fails = True
    answers = await asyncio.gather(
        *(told(recent, source) for _ in range(2)), return_exceptions=True
    )
    assert [type(one) for one in answers] == [RuntimeError] * 2
    source.fails = False
    assert await told(recent, source) == 2


async def test_who_leaves_takes_the_answer_from_nobody() -> None:
    source = Source()
    recent = Recent(1.0, source.clock)
    leaving, staying = (asyncio.ensure_future(told(recent, source)) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 1
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_it_keeps_no_more_than_it_may() -> None:
    source = Source()
    recent = Recent(1.0, source.clock)
    for number in range(KEPT + 1):
        await told(recent, source, str(number))
    assert await told(recent, source, "0") == KEPT + 2
