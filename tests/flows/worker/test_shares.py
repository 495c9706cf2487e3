"""A worker's share of limits that others take from: never above, given back, taken up again."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.exceptions import ObjectNotFound

from wildloop.flows.store.hosts import queue_limit
from wildloop.flows.worker.shares import (
    FIRST_TURN_SECONDS,
    RENEW_SECONDS,
    TURN_SECONDS,
    Shares,
)

HOST = "wildloop-gpu:here"
TAG = "tag:gpu"


@dataclass
class Server:
    """Prefect's limits, as far as they matter; `requests` counts what changes them."""

    limits: dict[str, int] = field(default_factory=dict)
    active: dict[str, int] = field(default_factory=dict)
    leases: dict[UUID, tuple[list[str], int]] = field(default_factory=dict)
    requests: int = 0

    async def read_global_concurrency_limit_by_name(self, name: str) -> Any:
        if name not in self.limits:
            raise ObjectNotFound(http_exc=Exception(name))
        return GlobalConcurrencyLimitResponse.model_construct(
            id=uuid4(),
            name=name,
            limit=self.limits[name],
            active=True,
            active_slots=self.active.get(name, 0),
        )

    async def create_global_concurrency_limit(self, limit: Any) -> None:
        self.limits[limit.name] = limit.limit

    async def update_global_concurrency_limit(self, name: str, limit: Any) -> None:
        self.limits[name] = limit.limit

    def take(self, names: list[str], slots: int) -> bool:
        """As anybody takes them: of all, or of none."""
        if any(self.active.get(name, 0) + slots > self.limits[name] for name in names):
            return False
        for name in names:
            self.active[name] = self.active.get(name, 0) + slots
        return True

    async def increment_concurrency_slots_with_lease(
        self, names: list[str], slots: int, *_: object
    ) -> httpx.Response:
        self.requests += 1
        request = httpx.Request("POST", "http://prefect")
        if not self.take(names, slots):
            refused = httpx.Response(423, request=request)
            raise httpx.HTTPStatusError("locked", request=request, response=refused)
        lease = uuid4()
        self.leases[lease] = (list(names), slots)
        return httpx.Response(200, json={"lease_id": str(lease), "limits": []}, request=request)

    async def renew_concurrency_lease(self, lease: UUID, _: float) -> None:
        if lease not in self.leases:
            request = httpx.Request("POST", "http://prefect")
            gone = httpx.Response(410, request=request)
            raise httpx.HTTPStatusError("gone", request=request, response=gone)

    async def release_concurrency_slots_with_lease(self, lease_id: UUID) -> None:
        self.requests += 1
        names, slots = self.leases.pop(lease_id, ([], 0))
        await self.release_concurrency_slots(names, slots, occupancy_seconds=1.0)

    async def release_concurrency_slots(
        self, names: list[str], slots: int, occupancy_seconds: float
    ) -> None:
        for name in names:
            self.active[name] = max(0, self.active[name] - slots)


class House:
    """A worker with its shares, on a clock that the test sets."""

    def __init__(self, folder: Path, slots: int = 2, **limits: int) -> None:
        self.server: Any = Server(limits={name.replace("_", ":"): n for name, n in limits.items()})
        self.path, self.slots, self.now = folder / "shares.json", slots, 1000.0
        self.driven: set[UUID] = set()
        self.shares = self.worker()

    def worker(self) -> Shares:
        """Another worker process on the same host."""
        return Shares("here", self.path, lambda: self.now)

    async def beat(self) -> None:
        await self.shares.refresh(self.server, self.slots, self.driven)

    async def begin(self, slots: int = 1) -> UUID | None:
        """A run begins, if it gets its slots."""
        id = uuid4()
        if not await self.shares.take(self.server, id, slots):
            return None
        self.driven.add(id)
        return id

    async def end(self, id: UUID | None, is_followed: bool = False) -> None:
        """A run ends; `is_followed`: another is looked for before its slots go back."""
        assert id is not None
        self.driven.discard(id)
        self.shares.give(id)
        if not is_followed:
            await self.shares.settle(self.server)


async def test_what_is_held_is_counted_by_slots_and_given_back(tmp_path: Path) -> None:
    house = House(tmp_path, slots=4, tag_gpu=4)
    await house.beat()
    assert house.server.limits[HOST] == 4
    run = await house.begin(3)
    assert (house.server.active[HOST], house.server.active[TAG]) == (3, 3)
    assert await house.begin(2) is None
    await house.end(run)
    assert (house.server.active[HOST], house.server.active[TAG]) == (0, 0)


async def test_slots_that_others_hold_are_not_taken_and_bounds_are_kept(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.beat()
    house.server.take([HOST], 1)
    assert await house.begin() is not None
    assert await house.begin() is None
    house.server.limits[HOST] = 1
    await house.beat()
    assert house.shares.bound == 1
    assert house.server.limits[HOST] == 1


async def test_limit_follows_the_slots_unless_people_have_set_it(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.beat()
    house.slots = 3
    await house.beat()
    assert house.server.limits[HOST] == 3
    house.server.limits[HOST] = 1
    house.slots = 8
    house.shares = house.worker()
    await house.beat()
    assert house.server.limits[HOST] == 1


async def test_runs_that_follow_one_another_cost_no_request(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.beat()
    run = await house.begin()
    before = house.server.requests
    for _ in range(10):
        house.now += 1.0
        await house.end(run, is_followed=True)
        run = await house.begin()
    assert house.server.requests == before
    await house.end(run)
    assert house.server.active[HOST] == 0


async def test_without_a_shared_limit_nothing_is_asked(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.beat()
    del house.server.limits[HOST]
    await house.beat()
    del house.server.limits[HOST]  # Made anew by the heartbeat.
    await house.shares._look(house.server)
    run = await house.begin()
    await house.end(run)
    assert house.server.requests == 0


@pytest.mark.parametrize("somebody_waits", [True, False])
async def test_full_limit_is_left_free_for_a_turn(tmp_path: Path, somebody_waits: bool) -> None:
    house = House(tmp_path, slots=1)
    await house.beat()
    run = await house.begin()
    await house.end(run, is_followed=True)
    run = await house.begin()
    house.now += FIRST_TURN_SECONDS + 1
    await house.end(run, is_followed=True)
    assert await house.begin() is None
    await house.shares.settle(house.server)
    assert house.server.active[HOST] == 0
    if somebody_waits:
        assert house.server.take([HOST], 1)
        assert await house.begin() is None
        house.server.active[HOST] = 0
    else:
        assert await house.begin() is None
        house.now += TURN_SECONDS
    assert await house.begin() is not None


async def test_turn_leaves_one_slot_to_others_and_the_rest_goes_on(tmp_path: Path) -> None:
    house = House(tmp_path, slots=3)
    await house.beat()
    runs = [await house.begin() for _ in range(3)]
    assert await house.begin() is None
    house.now += FIRST_TURN_SECONDS + 1
    for run in runs:
        await house.end(run, is_followed=True)
    again = [await house.begin() for _ in range(3)]
    assert [run is not None for run in again] == [True, True, False]
    await house.shares.settle(house.server)
    assert house.server.active[HOST] == 2
    await house.end(again[0], is_followed=True)
    assert await house.begin() is not None and await house.begin() is None
    house.now += TURN_SECONDS
    assert await house.begin() is not None
    assert house.server.active[HOST] == 3


async def test_next_worker_takes_up_what_runs_and_gives_back_the_rest(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.beat()
    kept, lost = await house.begin(), await house.begin()
    assert kept is not None and lost is not None
    house.driven.discard(lost)
    house.shares = house.worker()
    house.shares.adopt(kept, 1)
    await house.beat()
    assert house.server.active[HOST] == 1
    await house.end(kept)
    assert house.server.active[HOST] == 0


async def test_leases_that_a_server_forgets_are_mended(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.beat()
    run = await house.begin()
    house.server.leases.clear()
    house.now += RENEW_SECONDS + 1
    await house.beat()
    assert (house.server.active[HOST], len(house.server.leases)) == (1, 1)
    await house.end(run)
    assert house.server.active[HOST] == 0


@pytest.mark.parametrize(
    ("there", "about", "limit", "expected"),
    [
        (None, "", 4, 4),
        (4, "", 4, 4),
        (2, "", 4, 4),
        (4, "Wildloop has set it to 4; another stays.", 4, None),
        (4, "Wildloop has set it to 4; another stays.", 2, 2),
        (2, "Wildloop has set it to 4; another stays.", 4, None),
        (9, "Wildloop has set it to 4; another stays.", 4, None),
        (None, "Wildloop has set it to 4; another stays.", 4, 4),
    ],
)
def test_queue_limit_that_people_have_set_stays(
    there: int | None, about: str, limit: int, expected: int | None
) -> None:
    assert queue_limit(there, about, limit) == expected
