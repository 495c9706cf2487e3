"""Which signs of struggle the next prompt names."""

from math import isnan
from typing import Any

import pytest

from tests.support.records import made_account, made_run
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.struggle.struggle import History, findings, plateau, struggle_signs


def record(index: int, seconds: float = 100.0, **fields: Any) -> IterationRecord:
    """An iteration that went well, but for `fields`."""
    defaults = {"files_changed": 1, "exit_reason": "finished", "started_at": 1000.0 * index}
    values = {"finished_at": 1000.0 * index + seconds} | defaults | fields
    return IterationRecord(index=index, **values)


def signs(*records: IterationRecord) -> list[str]:
    return struggle_signs(records, History())


def test_an_ablation_makes_no_plateau() -> None:
    tried = [made_run(number, 0.5 + number / 10) for number in range(3)]
    rows = [
        made_run(10 + number, 0.1, name=f"ablation-{number}", parameters={"without": number})
        for number in range(5)
    ]
    assert plateau(History.of(made_account([*tried, *rows])), 5) is None


def test_no_signs_when_all_is_well() -> None:
    assert signs() == []
    assert signs(*(record(n) for n in range(1, 6))) == []


def test_three_iterations_without_a_changed_file() -> None:
    idle = [record(n, files_changed=0, run_ids=[f"r{n}"]) for n in (2, 3, 4)]
    (sign,) = signs(record(1), *idle)
    assert sign.startswith("No file of the project has changed in the last 3 iterations (3 runs")
    assert signs(*idle[:2]) == []
    assert signs(*idle[:2], record(4)) == []


def test_planning_and_reflections_are_no_iterations() -> None:
    others = [
        record(0, 1, kind="planning", files_changed=0, failed=True, error="e"),
        record(1, 1, kind="reflection", files_changed=0, failed=True, error="e"),
        record(2, 1, kind="reflection", files_changed=0, failed=True, error="e"),
    ]
    assert signs(*others) == []
    assert signs(record(1, files_changed=0), *others, record(2, files_changed=0)) == []


def test_the_calls_of_one_iteration_count_as_one() -> None:
    calls = [
        record(1, 1, turn=turn, files_changed=0, promise="WAITING" if turn < 4 else None)
        for turn in (1, 2, 3, 4)
    ]
    assert signs(*calls) == []


def test_a_file_changed_in_any_call_of_an_iteration_counts() -> None:
    calls = [
        one
        for index in (1, 2, 3)
        for one in (
            record(index, promise="WAITING"),
            record(index, turn=2, files_changed=0),
        )
    ]
    assert signs(*calls) == []


def test_three_short_iterations() -> None:
    assert signs(record(1, 29), record(2, 0), record(3, 1)) == [
        "The last 3 iterations took under 30 s each."
    ]
    assert signs(record(1, 29), record(2, 30), record(3, 1)) == []


def test_waiting_and_unfinished_iterations_are_not_short() -> None:
    short = [record(1, 1), record(2, 1)]
    assert signs(*short, record(3, 1, promise="WAITING")) == []
    assert signs(*short, record(3, finished_at=None)) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("CUDA out of memory", "CUDA  out of\nmemory"),
        ("no answer after 12.3 s", "no answer after 12.9 s"),
        ("lost at 0x7f3a", "lost at 0x99ff"),
        ("pid 41234 died", "pid 51234 died"),
    ],
)
def test_the_same_error_twice_in_three_iterations(first: str, second: str) -> None:
    records = [record(1, error=first), record(2), record(3, error=second), record(4)]
    assert signs(*records[:3]) == [
        f"The same error came twice in the last 3 iterations: {' '.join(second.split())}"
    ]
    assert signs(*records) == []


def test_different_errors_are_not_the_same() -> None:
    assert signs(record(1, error="exit code 1"), record(2, error="exit code 2"), record(3)) == []


def test_a_fault_told_twice_counts_once_per_call() -> None:
    assert signs(record(1, faults=["bad tag", "bad tag"]), record(2), record(3)) == []
    (sign,) = signs(record(1, faults=["bad tag"]), record(2, faults=["x", "bad tag"]))
    assert sign.endswith("bad tag")


@pytest.mark.parametrize(
    ("fields", "sign"),
    [
        ({"exit_reason": "timeout", "failed": True, "error": "over 10 s"}, "timed out: over 10 s"),
        ({"exit_reason": "failed", "failed": True, "error": "exit 1"}, "failed: exit 1"),
        ({"exit_reason": "failed"}, "failed: no reason is known"),
        ({"failed": True, "error": "the reply has no tags"}, "failed: the reply has no tags"),
    ],
)
def test_a_failed_last_call(fields: dict[str, Any], sign: str) -> None:
    assert signs(record(1), record(2, **fields)) == [f"The last call of the agent {sign}"]
    assert signs(record(1, **fields), record(2)) == []


@pytest.mark.parametrize(
    ("history", "direction", "k", "stalled"),
    [
        ([], "max", 3, False),
        ([0.5, 0.4, 0.4], "max", 3, False),
        ([0.5, 0.4, 0.4, 0.4], "max", 3, True),
        ([0.5, 0.5, 0.5, 0.5], "max", 3, True),
        ([0.5, 0.4, 0.6, 0.4], "max", 3, False),
        ([0.9, 0.4, 0.6, 0.4], "max", 3, True),
        ([0.5, 0.6, 0.6, 0.6], "min", 3, True),
        ([0.5, 0.6, 0.4, 0.6], "min", 3, False),
        ([0.5, float("nan"), float("nan")], "min", 2, True),
        ([float("nan"), 0.5], "max", 1, False),
        ([0.5, float("nan")], "max", 0, True),
    ],
)
def test_plateau(history: list[float], direction: str, k: int, stalled: bool) -> None:
    tried = History([None if isnan(one) else one for one in history], direction)
    found = findings([], tried, k)
    assert bool(found) is stalled
    assert all("has improved the primary metric" in one.text for one in found)
    assert struggle_signs([], tried, k) == []


def test_an_error_that_the_page_tells_already_is_not_told_again() -> None:
    error = "exit code 1: AssertionError: the page has no part 'Left'"
    records = [record(1), record(2, error=error, failed=True), record(3, error=error, failed=True)]
    told = [f"The last call (iteration-03) failed: {error}"]
    assert struggle_signs(records, History(), told=told) == [
        "The same error came twice in the last 3 iterations: the one above"
    ]
    alone = struggle_signs(records, History())
    assert "\n".join(alone).count(error) == 1
