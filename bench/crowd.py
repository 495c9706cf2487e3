"""Many clients of one API at once, and what they have seen: creators that retry, and readers.

The figures and the faults are values, so that a test can ask for the faults of a small crowd.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

PAGE = 50
REQUEST_SECONDS = 120.0
END_SECONDS = 900.0
LOOK_SECONDS = 1.0
GIVE_UP_SECONDS = 0.02


@dataclass
class Crowd:
    """`creators` make `runs` runs with keys, of which every fifth request is sent again.

    A request is repeated either at the same moment or after its client has hung up on it, as a
    script does that lost its patience. `readers` read what was just created, page through all
    runs, and look at the counts, until all is created.

    Attributes:
        faults: what must not be: an error answer, a run that is lost, doubled or ran twice.
        create_ms, read_ms: how long each answered request took.
        retried: how many requests were sent again.
        seconds: from the first creation to the last recorded end.
    """

    base_url: str
    headers: dict[str, str]
    folder: Path
    runs: int
    creators: int = 8
    readers: int = 8
    session: str = field(default_factory=lambda: f"crowd-{uuid4()}")
    faults: list[str] = field(default_factory=list)
    create_ms: list[float] = field(default_factory=list)
    read_ms: list[float] = field(default_factory=list)
    created: dict[int, str] = field(default_factory=dict)
    retried: int = 0
    seconds: float = 0.0
    _last: str | None = None
    _is_over: bool = False

    async def go(self) -> None:
        """Create all, wait for their ends, then look whether all is as it should be."""
        self.folder.mkdir(parents=True, exist_ok=True)
        began, numbers = time.monotonic(), iter(range(self.runs))
        async with httpx.AsyncClient(
            base_url=self.base_url,
            headers=self.headers,
            timeout=REQUEST_SECONDS,
            trust_env=False,
            limits=httpx.Limits(max_connections=None),
        ) as http:
            readers = [asyncio.create_task(self._read(http)) for _ in range(self.readers)]

            async def create() -> None:
                for number in numbers:
                    await self._create(http, number)

            await asyncio.gather(*(create() for _ in range(self.creators)))
            self._is_over = True
            await asyncio.gather(*readers)
            await self._await_ends(http)
            self.seconds = time.monotonic() - began
            self._check(await self._walk(http, "finished"))

    async def _create(self, http: httpx.AsyncClient, number: int) -> None:
        body = {
            "name": f"crowd-{number}",
            "command": f"echo run >> '{self.folder}/{number}'",
            "gpus": number % 2,
            "auto_start": True,
            "chat_session_id": self.session,
        }
        keyed = {"Idempotency-Key": f"{self.session}-{number}"}

        async def post() -> Any:
            return await self._ask(http, "POST", "/runs", self.create_ms, json=body, headers=keyed)

        answers = []
        if number % 10 == 0:
            self.retried += 1
            answers += await asyncio.gather(post(), post())
        elif number % 5 == 0:
            self.retried += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(post(), GIVE_UP_SECONDS)
            answers.append(await post())
        else:
            answers.append(await post())
        ids = {answer["id"] for answer in answers if answer is not None}
        if len(ids) != 1:
            self.faults.append(f"run {number} has the ids {sorted(ids)}")
            return
        self.created[number] = self._last = ids.pop()
        await self._ask(http, "GET", f"/runs/{self._last}", self.read_ms)

    async def _read(self, http: httpx.AsyncClient) -> None:
        while not self._is_over:
            known = set(self.created.values())
            walked = {run["id"] for run in await self._walk(http)}
            if lost := known - walked:
                self.faults.append(f"{len(lost)} created runs are in no page: {sorted(lost)[:3]}")
            if self._last is not None:
                await self._ask(http, "GET", f"/runs/{self._last}", self.read_ms)
            await self._ask(http, "GET", "/wild/v2/system-health", self.read_ms)

    async def _walk(self, http: httpx.AsyncClient, status: str | None = None) -> list[Any]:
        """Every run of the crowd, page by page; a run that is there twice is a fault."""
        params: dict[str, Any] = {"chat_session_id": self.session, "limit": PAGE}
        if status is not None:
            params["status"] = status
        found: list[Any] = []
        # More pages than that there are only where one comes again and again.
        for _ in range(self.runs // PAGE + 2):
            page = await self._ask(http, "GET", "/runs", self.read_ms, params=params)
            found += page or []
            if not page or len(page) < PAGE:
                break
            params["before"] = page[-1]["created_at"]
        counts = Counter(run["id"] for run in found)
        if doubled := [id for id, count in counts.items() if count > 1]:
            self.faults.append(f"{len(doubled)} runs are listed twice: {doubled[:3]}")
        return found

    async def _ask(
        self, http: httpx.AsyncClient, method: str, path: str, times_ms: list[float], **options: Any
    ) -> Any:
        """The JSON of a good answer; None, and a fault, for any other."""
        began = time.perf_counter()
        try:
            response = await http.request(method, path, **options)
        except httpx.HTTPError as error:
            self.faults.append(f"{method} {path}: {error!r}")
            return None
        if not response.is_success:
            self.faults.append(f"{method} {path}: {response.status_code} {response.text[:200]}")
            return None
        times_ms.append((time.perf_counter() - began) * 1000)
        return response.json()

    async def _await_ends(self, http: httpx.AsyncClient) -> None:
        deadline = time.monotonic() + END_SECONDS
        times: list[float] = []
        while time.monotonic() < deadline:
            params = {"chat_session_id": self.session, "limit": 1}
            waiting = [
                run
                for status in ("queued", "launching", "running")
                for run in await self._ask(
                    http, "GET", "/runs", times, params=params | {"status": status}
                )
                or []
            ]
            if not waiting:
                return
            await asyncio.sleep(LOOK_SECONDS)
        self.faults.append(f"runs have not ended within {END_SECONDS:g} s")

    def _check(self, finished: Sequence[Any]) -> None:
        """Nothing lost, nothing doubled, each run once."""
        names = Counter(run["name"] for run in finished)
        wanted = {f"crowd-{number}" for number in range(self.runs)}
        if set(names) != wanted or len(finished) != self.runs:
            self.faults.append(f"{len(finished)} runs have finished, {self.runs} were asked for")
        if {run["id"] for run in finished} != set(self.created.values()):
            self.faults.append("the runs that finished are not those that were answered")
        for number in range(self.runs):
            mark = self.folder / str(number)
            times = len(mark.read_text().splitlines()) if mark.exists() else 0
            if times != 1:
                self.faults.append(f"the command of run {number} ran {times} times")
