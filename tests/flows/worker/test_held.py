"""A worker's ledger: whatever is claimed, released and lost, slots are counted once and freed."""

from collections.abc import Iterator
from itertools import count
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from wildloop.flows.models.capacity import Waiting, admit
from wildloop.flows.run.control import RunControl, StopReason
from wildloop.flows.worker.held import REMEMBERED, Held

ID, OTHER = UUID(int=1), UUID(int=2)
NUMBERS = st.integers(0, 9)


def test_what_is_driven_cannot_be_claimed_again() -> None:
    held = Held()
    held.claim(ID, RunControl(), 1)
    with pytest.raises(ValueError, match="driven already"):
        held.claim(ID, RunControl(), 1)
    assert held.slots == {ID: 1}


def test_negative_slots_are_refused_and_nothing_is_held() -> None:
    held = Held()
    with pytest.raises(ValueError, match="negative"):
        held.claim(ID, RunControl(), -1)
    assert not held and held.slots == {}


def test_slots_are_all_taken_by_runs_that_are_driven_and_by_strays() -> None:
    held = Held()
    held.claim(ID, RunControl(), 1)
    assert not held.leaves_none_of(2)
    held.look({OTHER: 1})
    assert held.leaves_none_of(2)
    held.release(ID)
    assert not held.leaves_none_of(2)


def test_a_run_that_is_over_lets_the_next_one_launch() -> None:
    held, control = Held(), RunControl()
    held.claim(ID, control, 1)
    held.release(ID)
    assert control.launched.is_set() and held.has_ended(ID) and ID not in held


def test_the_end_of_what_was_not_driven_is_not_remembered_as_its_own() -> None:
    held = Held()
    held.release(ID)
    assert not held.has_ended(ID)


def test_only_the_last_ends_are_remembered() -> None:
    held = Held()
    for number in range(REMEMBERED + 1):
        held.claim(UUID(int=number), RunControl())
        held.release(UUID(int=number))
    assert [held.has_ended(UUID(int=number)) for number in (0, 1, REMEMBERED)] == [
        False,
        True,
        True,
    ]


def test_a_lost_command_keeps_its_slots_until_a_look_misses_it() -> None:
    held = Held()
    held.claim(ID, RunControl(), 2)
    held.lose(ID)
    held.release(ID)
    assert held.slots == {ID: 2}
    held.look({OTHER: 1})
    assert held.slots == {OTHER: 1}


def test_a_stray_that_is_claimed_again_is_counted_once_and_freed_with_its_end() -> None:
    held = Held()
    held.look({ID: 2})
    held.claim(ID, RunControl(), 2)
    assert held.slots == {ID: 2}
    held.release(ID)
    assert held.slots == {}


def test_everyone_is_woken_and_asked_to_end() -> None:
    held, controls = Held(), {ID: RunControl(), OTHER: RunControl()}
    for id, control in controls.items():
        held.claim(id, control)
    held.wake()
    held.request(StopReason.SHUTDOWN)
    assert all(control.activity.is_set() for control in controls.values())
    assert {control.reason for control in controls.values()} == {StopReason.SHUTDOWN}


class Host(RuleBasedStateMachine):
    """A host whose commands start, end, and outlive their drives, beside its worker's ledger."""

    @initialize(g=st.integers(1, 6))
    def begin(self, g: int) -> None:
        self.g = g
        self.held = Held()
        self.sizes: dict[UUID, int] = {}
        self.driven: set[UUID] = set()
        self.alive: set[UUID] = set()
        self.ids: Iterator[UUID] = map(UUID, (f"{n:032x}" for n in count(1)))

    @rule(sizes=st.lists(st.integers(0, 4), min_size=1, max_size=5))
    def offer(self, sizes: list[int]) -> None:
        """The server offers runs: those that fit are claimed and their commands started."""
        offered = dict(zip(self.ids, sizes, strict=False))
        waiting = [Waiting(id=str(id), gpus=gpus) for id, gpus in offered.items()]
        taken = [size for size in self.held.slots.values() if size]
        for id in map(UUID, admit(self.g, taken, waiting)):
            self.held.claim(id, RunControl(), offered[id])
            self.sizes[id] = offered[id]
            self.driven.add(id)
            self.alive.add(id)

    @rule(number=NUMBERS)
    def end(self, number: int) -> None:
        """A command ends, and its drive with it."""
        for id in self.pick(self.driven, number):
            self.alive.discard(id)
            self.driven.discard(id)
            self.held.release(id)

    @rule(number=NUMBERS, survives=st.booleans())
    def crash(self, number: int, survives: bool) -> None:
        """A drive breaks off; its command may go on."""
        for id in self.pick(self.driven, number):
            self.held.lose(id)
            self.held.release(id)
            self.driven.discard(id)
            if not survives:
                self.alive.discard(id)

    @rule(number=NUMBERS)
    def end_alone(self, number: int) -> None:
        """A command ends that nobody drives."""
        for id in self.pick(self.alive - self.driven, number):
            self.alive.discard(id)

    @rule()
    def look(self) -> None:
        """The worker looks for commands without a driver: nothing that ended stays counted."""
        self.held.look({id: self.sizes[id] for id in self.alive - self.driven})
        assert set(self.held.slots) == self.alive | self.driven

    @rule(number=NUMBERS)
    def adopt(self, number: int) -> None:
        """A stray is taken up again."""
        for id in self.pick(self.alive - self.driven, number):
            self.held.claim(id, RunControl(), self.sizes[id])
            self.driven.add(id)

    @rule()
    def restart(self) -> None:
        """The worker is killed; the next one looks for what it has left before it takes work."""
        self.held, self.driven = Held(), set()
        self.look()

    @invariant()
    def commands_never_take_more_than_there_is(self) -> None:
        assert sum(self.sizes[id] for id in self.alive) <= self.g

    @invariant()
    def every_living_command_is_counted_once(self) -> None:
        slots = self.held.slots
        assert all(slots[id] == self.sizes[id] for id in self.alive)
        assert set(self.held.ids) == self.driven

    def teardown(self) -> None:
        for id in list(self.driven):
            self.held.release(id)
        self.held.look({})
        assert not self.held and self.held.slots == {}

    @staticmethod
    def pick(ids: set[UUID], number: int) -> list[UUID]:
        ordered = sorted(ids)
        return [ordered[number % len(ordered)]] if ordered else []


TestHost = Host.TestCase
TestHost.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
