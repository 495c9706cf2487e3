"""The allocator of a host's GPUs: whatever happens, nobody gets what another holds."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from wildloop.flows.worker.devices import DevicePool, Grant, sharing_for

FOUR = ["0", "1", "2", "3"]


def taken(pool: DevicePool, run_id: str, count: int, avoid: tuple[str, ...] = ()) -> list[str]:
    """The devices that a run gets; fails if it gets none."""
    grant = pool.take(run_id, count, avoid)
    assert grant is not None and grant.restricted
    return list(grant.devices)


def test_runs_get_free_devices_in_bus_order() -> None:
    pool = DevicePool(FOUR)
    assert taken(pool, "a", 1) == ["0"]
    assert taken(pool, "b", 2) == ["1", "2"]
    assert taken(pool, "c", 1) == ["3"]
    assert pool.take("d", 1) is None


def test_bus_order_is_not_the_order_of_the_digits() -> None:
    pool = DevicePool([str(n) for n in range(12)])
    assert taken(pool, "a", 11)[-2:] == ["9", "10"]


def test_a_run_gets_all_it_asks_for_or_nothing() -> None:
    pool = DevicePool(FOUR)
    taken(pool, "a", 2)
    assert pool.take("b", 3) is None
    assert pool.held == {"a": ("0", "1")}
    assert taken(pool, "c", 2) == ["2", "3"]


def test_asking_again_gives_the_same_devices() -> None:
    pool = DevicePool(FOUR)
    taken(pool, "a", 2)
    assert taken(pool, "a", 2) == taken(pool, "a", 3, avoid=("0",)) == ["0", "1"]


def test_released_devices_are_given_again() -> None:
    pool = DevicePool(["0"])
    taken(pool, "a", 1)
    assert pool.release("a") == ("0",)
    assert pool.release("a") == ()
    assert taken(pool, "b", 1) == ["0"]


def test_no_device_asked_for_hides_them_all() -> None:
    pool = DevicePool(["0"])
    assert taken(pool, "a", 1) == ["0"]
    assert pool.take("b", 0) == Grant((), restricted=True)
    assert Grant((), restricted=True).visible == ()


@pytest.mark.parametrize("devices", [None, []])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_host_without_gpus_leaves_the_variable_alone(devices: list[str] | None, count: int) -> None:
    pool = DevicePool(devices)
    grant = pool.take("a", count)
    assert grant is not None and grant.visible is None and grant.devices == ()
    assert not pool.has_devices and pool.fits(count) and pool.free() == 0


def test_devices_that_outsiders_use_are_left_alone() -> None:
    pool = DevicePool(FOUR)
    assert pool.free(avoid=["0", "2", "unknown"]) == 2
    assert not pool.fits(3, avoid=["0", "2"])
    assert pool.take("a", 3, avoid=["0", "2"]) is None
    assert taken(pool, "a", 2, avoid=("0", "2")) == ["1", "3"]
    assert taken(pool, "b", 1) == ["0"]


def test_more_slots_than_devices_share_evenly() -> None:
    pool = DevicePool(["0", "1"], sharing=2)
    assert [taken(pool, name, 1) for name in "abcd"] == [["0"], ["1"], ["0"], ["1"]]
    assert pool.take("e", 1) is None
    pool.release("b")
    assert taken(pool, "f", 1) == ["1"]


def test_a_run_never_gets_one_device_twice_though_it_is_shared() -> None:
    pool = DevicePool(["0", "1"], sharing=4)
    assert pool.free() == 8 and not pool.fits(3)
    assert pool.take("a", 3) is None
    assert taken(pool, "a", 2) == ["0", "1"]


def test_adopted_run_keeps_what_it_had() -> None:
    pool = DevicePool(FOUR)
    assert pool.hold("old", ["2", "", "2"]) == Grant(("2",))
    assert taken(pool, "old", 1) == ["2"]
    assert taken(pool, "a", 3) == ["0", "1", "3"]


def test_adopted_run_without_devices_holds_none() -> None:
    pool = DevicePool(["0"])
    assert pool.hold("old", [""]) == Grant(())
    assert pool.held == {}
    assert DevicePool(None).hold("old", []).visible is None


def test_adopted_runs_may_hold_unknown_and_doubly_held_devices() -> None:
    pool = DevicePool(["0", "1"])
    pool.hold("x", ["7"])
    pool.hold("y", ["0"])
    pool.hold("z", ["0"])
    assert taken(pool, "a", 1) == ["1"]
    pool.release("y")
    assert pool.take("b", 1) is None
    pool.release("z")
    assert taken(pool, "b", 1) == ["0"]


def test_vanished_device_is_not_given_away_until_it_is_back() -> None:
    pool = DevicePool(["0", "1"])
    taken(pool, "a", 1)
    pool.update(["1"])
    assert pool.held == {"a": ("0",)}
    assert taken(pool, "b", 1) == ["1"]
    assert pool.take("c", 1) is None
    pool.update(["0", "1"])
    assert pool.take("c", 1) is None
    pool.release("a")
    assert taken(pool, "c", 1) == ["0"]


def test_host_whose_driver_breaks_makes_runs_wait_instead_of_seeing_everything() -> None:
    pool = DevicePool(["0"])
    pool.update([])
    assert pool.has_devices and pool.devices == ()
    assert pool.take("a", 1) is None
    assert pool.take("b", 0) == Grant(())


def test_adopted_run_with_a_device_guards_it_though_detection_finds_none() -> None:
    pool = DevicePool(None)
    pool.hold("old", ["0"])
    assert pool.has_devices and pool.take("a", 1) is None
    pool.release("old")
    assert not pool.has_devices


def test_gpus_that_appear_are_given_away() -> None:
    pool = DevicePool(None)
    pool.update(["0"])
    assert taken(pool, "a", 1) == ["0"]


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="sharing must be at least 1, not 0"):
        DevicePool(FOUR, sharing=0)
    with pytest.raises(ValueError, match="count must not be negative, not -1"):
        DevicePool(FOUR).take("a", -1)


@pytest.mark.parametrize(
    ("slots", "devices", "sharing"),
    [(None, 4, 1), (4, 4, 1), (2, 4, 1), (5, 4, 2), (8, 4, 2), (9, 4, 3), (3, 0, 1), (0, 2, 1)],
)
def test_sharing_for(slots: int | None, devices: int, sharing: int) -> None:
    assert sharing_for(slots, devices) == sharing


DEVICES = st.lists(st.sampled_from([*FOUR, "4", "MIG-a"]), max_size=6, unique=True)
RUNS = st.sampled_from([f"run-{n}" for n in range(8)])


class PoolMachine(RuleBasedStateMachine):
    """Any order of calls: a twin pool gets the same calls, and a plain model is kept beside."""

    @initialize(devices=DEVICES, sharing=st.integers(1, 3))
    def start(self, devices: list[str], sharing: int) -> None:
        self.sharing = sharing
        self.pool, self.twin = DevicePool(devices, sharing), DevicePool(devices, sharing)
        self.there = set(devices)
        self.seen = bool(devices)
        self.holders: dict[str, set[str]] = {}
        self.adopted: set[str] = set()

    def load(self, device: str) -> int:
        return sum(device in held for held in self.holders.values())

    @rule(run_id=RUNS, count=st.integers(0, 5), avoid=DEVICES)
    def take(self, run_id: str, count: int, avoid: list[str]) -> None:
        open_devices = {d for d in self.there - set(avoid) if self.load(d) < self.sharing}
        fits, free = self.pool.fits(count, avoid), self.pool.free(avoid)
        grant = self.pool.take(run_id, count, avoid)
        assert grant == self.twin.take(run_id, count, list(reversed(avoid)))
        assert free == sum(self.sharing - self.load(device) for device in open_devices)
        if run_id in self.holders:
            assert grant is not None and set(grant.devices) == self.holders[run_id]
        elif not self.seen and not self.holders:
            assert fits and grant is not None and grant.visible is None
        elif count > len(open_devices):
            assert not fits and grant is None
        else:
            assert fits and grant is not None and grant.restricted
            got = set(grant.devices)
            assert len(grant.devices) == len(got) == count and got <= open_devices
            left = [self.load(device) for device in open_devices - got]
            assert not got or not left or max(map(self.load, got)) <= min(left)
            if got:
                self.holders[run_id] = got

    @rule(run_id=RUNS, devices=DEVICES)
    def hold(self, run_id: str, devices: list[str]) -> None:
        assert self.pool.hold(run_id, devices) == self.twin.hold(run_id, devices)
        self.holders.pop(run_id, None)
        if devices:
            self.holders[run_id] = set(devices)
            self.adopted.add(run_id)

    @rule(run_id=RUNS)
    def release(self, run_id: str) -> None:
        self.twin.release(run_id)
        assert set(self.pool.release(run_id)) == self.holders.pop(run_id, set())
        self.adopted.discard(run_id)

    @rule(devices=DEVICES)
    def update(self, devices: list[str]) -> None:
        self.pool.update(devices)
        self.twin.update(devices)
        self.there = set(devices)
        self.seen = self.seen or bool(devices)

    @invariant()
    def holders_keep_what_they_have(self) -> None:
        if hasattr(self, "pool"):
            assert {run: set(held) for run, held in self.pool.held.items()} == self.holders

    @invariant()
    def nobody_is_given_what_others_hold(self) -> None:
        if not hasattr(self, "pool"):
            return
        given = [held for run, held in self.pool.held.items() if run not in self.adopted]
        uses = Counter(device for held in given for device in held)
        assert all(count <= self.sharing for count in uses.values())


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestPool = PoolMachine.TestCase


@given(count=st.lists(st.integers(0, 3), max_size=12), sharing=st.integers(1, 3))
def test_devices_are_filled_evenly(count: list[int], sharing: int) -> None:
    pool = DevicePool(FOUR, sharing)
    for number, wanted in enumerate(count):
        pool.take(f"run-{number}", wanted)
        load = Counter(device for held in pool.held.values() for device in held)
        assert max(load[d] for d in FOUR) - min(load[d] for d in FOUR) <= 1
