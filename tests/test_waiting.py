"""The tests' own waiting: by signs of life, by the machine's pace, by gates."""

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.gates import Gate
from tests.support.pace import REFERENCE_SECONDS, Pace
from tests.support.waiting import Patience, until, wait_for


class Clock:
    """A clock that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.waiting.pace", lambda: Pace(lambda: REFERENCE_SECONDS))


def times_slower(*factors: float) -> Pace:
    """A machine whose work takes this many times longer, measure by measure."""
    left = list(factors)
    return Pace(lambda: REFERENCE_SECONDS * (left.pop(0) if len(left) > 1 else left[0]))


def test_slow_machine_is_given_more_time(clock: Clock) -> None:
    patience = Patience(60, times_slower(3))
    clock.sleep(179)
    assert patience.lasts()
    clock.sleep(2)
    assert not patience.lasts()


def test_fast_machine_is_given_no_less(clock: Clock) -> None:
    patience = Patience(60, times_slower(0.1))
    clock.sleep(59)
    assert patience.lasts()


def test_load_is_measured_anew_and_remembered_for_a_while(clock: Clock) -> None:
    pace, seen = times_slower(1, 4, 1, 1, 1), []
    for _ in range(5):
        seen.append(pace.slowness())
        clock.sleep(5)
        assert pace.slowness() == seen[-1]
        clock.sleep(6)
    assert seen == pytest.approx([1, 4, 4, 4, 1])


@pytest.mark.usefixtures("idle")
def test_wait_without_a_sign_of_life_ends(clock: Clock) -> None:
    with pytest.raises(AssertionError, match="not within 60 s: pigs fly"):
        wait_for(lambda: None, "pigs fly")
    assert 1060 <= clock.now < 1062


@pytest.mark.usefixtures("idle")
def test_signs_of_life_prolong_the_wait(clock: Clock) -> None:
    def look() -> bool:
        return clock.now > 1500

    assert wait_for(look, "it ends", sign=lambda: clock.now // 50)
    with pytest.raises(AssertionError, match="after the last sign of life"):
        wait_for(lambda: None, "it ends", sign=lambda: min(clock.now // 50, 40))
    assert 2060 <= clock.now < 2062


@pytest.mark.usefixtures("idle")
def test_wait_whose_signs_never_end_ends_all_the_same(clock: Clock) -> None:
    with pytest.raises(AssertionError, match="in all"):
        wait_for(lambda: None, "it ends", 10, sign=lambda: clock.now)


@pytest.mark.usefixtures("idle")
def test_looks_become_rare_until_there_is_a_sign(clock: Clock) -> None:
    looks: list[float] = []

    def look() -> bool:
        looks.append(clock.now - 1000)
        return clock.now > 1020

    wait_for(look, "x", sign=lambda: clock.now > 1010.3, pauses=(0.2, 1.0))
    assert len([at for at in looks if at < 10]) < 20
    assert any(10.3 < at < 10.5 for at in looks)


async def test_event_loop_goes_on_while_one_waits() -> None:
    assert await until(lambda: 7, "seven") == 7


def test_gate_keeps_those_who_come_until_it_is_opened(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "a gate")
    first = [subprocess.Popen(["bash", "-c", gate.command]) for _ in range(2)]
    gate.await_runs(2)
    assert [one.poll() for one in first] == [None, None]
    gate.open()
    assert [one.wait(60) for one in first] == [0, 0]
    assert subprocess.run(["bash", "-c", gate.command], timeout=60).returncode == 0
