"""One look for all who watch, and to each only what has changed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from wildloop.shim.page import feed as module
from wildloop.shim.page.feed import Feed
from wildloop.shim.page.look import Look


class World:
    """What is looked at: a number that changes, and how often it was looked at."""

    def __init__(self) -> None:
        self.number, self.looks, self.renders = 1, 0, 0
        self.fault: Exception | None = None

    async def look(self) -> Look:
        self.looks += 1
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        return cast(Look, self.number)

    def render(self, look: Look) -> dict[str, str]:
        self.renders += 1
        return {"now-number": f"<b>{look}</b>\n<i>x</i>", "now-same": "same", "other": "o"}


async def names(events: AsyncIterator[str], count: int) -> list[str]:
    """The names of the next events."""
    found: list[str] = []
    async for text in events:
        if text.startswith("event: "):
            found.append(text.split("\n")[0].removeprefix("event: "))
        if len(found) == count:
            break
    return found


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for it."""
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.005)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(module, "SHORTEST_S", 0.01)
    return World()


async def test_a_watcher_is_told_all_at_first_and_then_what_changes(world: World) -> None:
    feed = Feed(world.look, world.render)
    events = feed.events(("now-",))
    assert set(await names(events, 3)) == {"now-number", "now-same", "trouble"}
    world.number = 2
    feed.poke()
    assert await names(events, 1) == ["now-number"]
    await cast(Any, events).aclose()
    await feed.close()


async def test_fifty_watchers_cost_one_look_and_one_rendering(world: World) -> None:
    feed = Feed(world.look, world.render)
    watchers = [feed.events(("now-",)) for _ in range(50)]
    first = await asyncio.gather(*(names(one, 3) for one in watchers))
    assert all(len(one) == 3 for one in first)
    assert world.looks == world.renders <= 5
    for one in watchers:
        await cast(Any, one).aclose()
    seen = world.looks
    await asyncio.sleep(0.05)
    assert world.looks <= seen + 1, "nobody watches any more"
    await feed.close()


async def test_a_page_after_a_change_shows_it(world: World) -> None:
    feed = Feed(world.look, world.render)
    assert cast(int, await feed.latest()) == 1
    world.number = 2
    assert cast(int, await feed.latest()) == 1, "a look is good for two seconds"
    feed.poke()
    assert cast(int, await feed.latest()) == 2


async def test_at_rest_it_looks_when_something_is_heard_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = cast(Look, SimpleNamespace(is_at_rest=True))
    heard = [1]

    async def look() -> Look:
        await world.look()
        return rest

    feed = Feed(look, world.render, lambda: heard[0])
    events = feed.events(("now-",))
    await names(events, 3)
    seen = world.looks
    await asyncio.sleep(0.1)
    assert world.looks == seen, "nothing was heard of"
    heard[0] = 2
    await until(lambda: world.looks > seen)
    monkeypatch.setattr(module, "REST_S", 0.02)
    seen = world.looks
    await until(lambda: world.looks > seen + 1)
    await cast(Any, events).aclose()
    await feed.close()


async def test_trouble_is_told_and_its_end(world: World) -> None:
    feed = Feed(world.look, world.render)
    events = feed.events(("now-",))
    await names(events, 3)
    world.fault = httpx.ConnectError("gone")
    feed.poke()
    assert await names(events, 1) == ["trouble"]
    assert "does not answer" in feed._regions["trouble"]
    world.fault = None
    assert await names(events, 1) == ["trouble"]
    assert feed._regions["trouble"] == ""
    await cast(Any, events).aclose()
    await feed.close()


async def test_a_fault_of_ours_ends_no_feed(world: World) -> None:
    feed = Feed(world.look, world.render)
    events = feed.events(("now-",))
    await names(events, 3)
    world.fault = RuntimeError("a fault")
    feed.poke()
    assert await names(events, 1) == ["trouble"]
    assert "Internal error (RuntimeError)" in feed._regions["trouble"]
    world.fault, world.number = None, 5
    assert set(await names(events, 2)) == {"now-number", "trouble"}
    await cast(Any, events).aclose()
    await feed.close()
