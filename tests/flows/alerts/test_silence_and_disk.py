"""Silence is judged by a run's own rhythm, a disk by share and amount."""

from collections.abc import Iterable

import pytest

from wildloop.flows.alerts.machine import DiskWatch, SilenceWatch
from wildloop.flows.models.alert import AlertKind, Finding
from wildloop.flows.project import AlertsConfig

MINUTE = 60.0
GB = 1_000_000_000


def silences(
    writes: Iterable[float], until: float, config: AlertsConfig | None = None
) -> list[tuple[float, Finding]]:
    """Look every 5 s at a run that writes a byte at each of these times."""
    watch = SilenceWatch(config or AlertsConfig())
    times, told, now = sorted(writes), [], 0.0
    while now <= until:
        size = sum(moment <= now for moment in times)
        finding = watch.see(now, (size, 0))
        if finding is not None:
            told.append((now, finding))
        now += 5.0
    return told


def test_a_run_that_never_speaks_is_told_after_ten_minutes_once() -> None:
    ((moment, finding),) = silences([], 60 * MINUTE)
    assert moment == 10 * MINUTE + 5
    assert finding.kind is AlertKind.SILENCE
    assert "no output and no metric for 10 min" in finding.message


def test_a_run_that_falls_silent_is_told_with_its_usual_gap() -> None:
    ((moment, finding),) = silences([10.0 * n for n in range(31)], 60 * MINUTE)
    assert moment == 300 + 10 * MINUTE + 5
    assert "(usual gap: 10 s)" in finding.message


def test_a_slow_rhythm_has_a_longer_limit() -> None:
    every = [3 * MINUTE * n for n in range(10)]
    assert silences(every, every[-1] + 29 * MINUTE) == []
    ((moment, _),) = silences(every, every[-1] + 60 * MINUTE)
    assert moment == every[-1] + 30 * MINUTE + 5


def test_bursts_once_an_epoch_are_told_at_most_once() -> None:
    epochs = [20 * MINUTE * epoch + 5 * line for epoch in range(8) for line in range(20)]
    told = silences(epochs, max(epochs) + 5 * MINUTE)
    assert [moment < 25 * MINUTE for moment, _ in told] == [True]


def test_each_new_silence_is_told_with_a_key_of_its_own() -> None:
    lines = [5.0 * n for n in range(30)]
    told = silences([*lines, 15 * MINUTE], 60 * MINUTE)
    assert [moment // MINUTE for moment, _ in told] == [12, 40]
    assert len({finding.key for _, finding in told}) == 2


def test_metrics_alone_are_a_sign_of_life() -> None:
    watch = SilenceWatch(AlertsConfig())
    assert all(watch.see(9 * MINUTE * n, (0, n)) is None for n in range(10))


def test_silence_before_the_first_look_counts() -> None:
    assert SilenceWatch(AlertsConfig()).see(1e6, (5, 0), age=11 * MINUTE) is not None
    assert SilenceWatch(AlertsConfig()).see(1e6, (5, 0), age=9 * MINUTE) is None
    assert SilenceWatch(AlertsConfig()).see(1e6, (5, 0), age=-1e9) is None


def test_limits_are_the_projects_own() -> None:
    config = AlertsConfig(silence_minutes=1, silence_factor=100)
    assert silences([], 2 * MINUTE, config)
    assert silences([5.0 * n for n in range(20)], 95 + 8 * MINUTE, config) == []


@pytest.mark.parametrize(
    ("free", "total", "alarms"),
    [
        (4 * GB, 100 * GB, True),
        (6 * GB, 100 * GB, False),
        (20 * GB, 1000 * GB, False),
        (9 * GB, 1000 * GB, True),
        (0, 10 * GB, True),
        (0, 0, False),
    ],
)
def test_disk_is_full_by_share_and_by_amount(free: int, total: int, alarms: bool) -> None:
    finding = DiskWatch(AlertsConfig()).see(free, total)
    assert (finding is not None) == alarms
    assert finding is None or finding.kind is AlertKind.DISK


def test_a_full_disk_is_told_again_only_after_it_has_recovered() -> None:
    watch = DiskWatch(AlertsConfig())
    told = [watch.see(free * GB, 100 * GB) for free in (4, 3, 6, 4, 8, 4)]
    assert [finding is not None for finding in told] == [True, False, False, False, False, True]
    assert told[0] is not None
    assert "disk nearly full: 4.0 GB (4.0 %)" in told[0].message
    assert told[5] is not None
    assert told[5].key != told[0].key


def test_disk_limits_of_zero_turn_it_off() -> None:
    assert DiskWatch(AlertsConfig(disk_free_gb=0)).see(0, GB) is None
