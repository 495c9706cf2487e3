"""The page's events: one look at a time for all who watch, and to each what has changed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import httpx
from prefect.exceptions import PrefectHTTPStatusError

from wildloop.flows.errors import WildloopError
from wildloop.shim.page.look import Look
from wildloop.shim.page.shared_reads import SharedReads

SHORTEST_S = 1.0
LONGEST_S = 15.0
# Where nothing is under way and nothing was heard of: what no event tells of can wait.
REST_S = 10.0
# A look may take no more than this share of the time: the dearer it is, the rarer.
SHARE = 0.05
HEARTBEAT_S = 15.0
RETRY_MS = 1000
FRESH_S = 2.0
TROUBLE = "trouble"

logger = logging.getLogger("wildloop.page")
Regions = Mapping[str, str]


class Feed:
    """Looks while anybody watches, renders once, and tells everybody.

    Args:
        look: reads all that is shown.
        render: the regions of the page by name, as HTML, of a look.
        heard: another number whenever something has changed; None: that is not known.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Look]],
        render: Callable[[Look], Regions],
        heard: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._look, self._render, self._heard = look, render, heard
        self._regions: dict[str, str] = {}
        self._versions: dict[str, int] = {}
        self._version = 0
        self._latest: Look | None = None
        self._looked_at = -LONGEST_S
        self._took_s = 0.0
        self._watchers = 0
        self._task: asyncio.Task[None] | None = None
        self._shared = SharedReads[Look]()
        self._poked, self._poked_at = asyncio.Event(), -LONGEST_S
        self._changed = asyncio.Condition()

    async def latest(self) -> Look:
        """What was seen last, looked at anew if that is older than two seconds."""
        oldest = max(time.monotonic() - FRESH_S, self._poked_at)
        if self._latest is not None and self._looked_at > oldest:
            return self._latest
        return await self._see()

    def poke(self) -> None:
        """Look soon: something was done."""
        self._poked_at = time.monotonic()
        self._poked.set()

    async def events(self, prefixes: tuple[str, ...]) -> AsyncIterator[str]:
        """Server-sent events: first each region whose name begins so, then those that change."""
        self._watchers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        seen = 0
        try:
            yield f"retry: {RETRY_MS}\n\n"
            while True:
                for name, version in list(self._versions.items()):
                    if version > seen and name.startswith((*prefixes, TROUBLE)):
                        yield _event(name, self._regions[name])
                seen = self._version
                try:
                    async with asyncio.timeout(HEARTBEAT_S), self._changed:
                        await self._changed.wait_for(lambda: self._version > seen)  # noqa: B023
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._watchers -= 1

    async def close(self) -> None:
        """End the looking."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while self._watchers:
            self._poked.clear()
            heard = self._heard()
            try:
                await self._see()
                await self._tell({TROUBLE: ""})
            except (httpx.HTTPError, PrefectHTTPStatusError, WildloopError) as error:
                logger.warning("the page's look failed: %r", error)
                when = time.strftime("%H:%M:%S", time.localtime())
                said = f"Prefect does not answer ({when}): what is shown may be old."
                await self._tell({TROUBLE: said})
                heard = None
            except Exception as error:
                # A fault of ours must not leave every open page at what it shows, without a word.
                logger.error("the page's look failed", exc_info=error)
                said = f"Internal error ({type(error).__name__}): what is shown may be old."
                await self._tell({TROUBLE: said})
                heard = None
            await self._pause(heard)

    async def _pause(self, heard: int | None) -> None:
        """Until it is time for the next look; longer where nothing is heard of at rest."""
        began = time.monotonic()
        shortest = min(LONGEST_S, max(SHORTEST_S, self._took_s / SHARE))
        while not self._poked.is_set():
            over = time.monotonic() - began
            is_quiet = heard is not None and self._heard() == heard
            rests = is_quiet and self._latest is not None and self._latest.is_at_rest
            if over >= (max(shortest, REST_S) if rests else shortest):
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(shortest, SHORTEST_S)):
                    await self._poked.wait()

    async def _see(self) -> Look:
        """Look, together with whoever else asks now."""
        return await self._shared.get("look", self._read)

    async def _read(self) -> Look:
        began = time.monotonic()
        look = await self._look()
        self._latest, self._looked_at = look, began
        self._took_s = time.monotonic() - began
        regions = self._render(look)
        for name in self._regions.keys() - regions.keys() - {TROUBLE}:
            del self._regions[name], self._versions[name]
        await self._tell(regions)
        return look

    async def _tell(self, regions: Regions) -> None:
        changed = {name: text for name, text in regions.items() if self._regions.get(name) != text}
        if not changed:
            return
        self._version += 1
        self._regions |= changed
        self._versions |= dict.fromkeys(changed, self._version)
        async with self._changed:
            self._changed.notify_all()


def _event(name: str, text: str) -> str:
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"event: {name}\n{lines}\n"
