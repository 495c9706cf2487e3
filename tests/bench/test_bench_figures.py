"""Percentiles, gaps and aims: figures from known values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import Aim, Figure, Report, Row, hand_over_gaps, most_at_once, percentile
from tests.bench.example_report import example_report

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300)


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)]
)
def test_a_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_the_p99_of_few_values_is_the_largest() -> None:
    assert percentile([3.0, 9.0, 1.0], 99) == 9.0


@given(values=VALUES, percent=st.floats(0, 100))
def test_a_percentile_was_measured_and_covers_its_share(
    values: list[float], percent: float
) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-6


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], -1), ([1.0], 101)])
def test_an_impossible_percentile_is_refused(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match=r"no values|give 0 to 100"):
        percentile(values, percent)


def test_a_gap_lasts_from_an_end_to_the_next_start() -> None:
    assert hand_over_gaps([10.0, 0.0, 21.0], [9.0, 20.0, 30.0], 1) == [1.0, 1.0]


def test_with_two_slots_the_third_start_follows_the_first_end() -> None:
    assert hand_over_gaps([0.0, 0.0, 6.0, 9.5], [5.0, 9.0, 12.0, 13.0], 2) == [1.0, 0.5]


def test_without_a_queue_there_are_no_gaps() -> None:
    assert hand_over_gaps([0.0], [1.0], 1) == []


@pytest.mark.parametrize(
    ("starts", "ends", "most"),
    [([], [], 0), ([0.0, 1.0], [1.0, 2.0], 1), ([0.0, 0.5, 0.6], [1.0, 0.55, 2.0], 2)],
)
def test_commands_at_once_are_counted(starts: list[float], ends: list[float], most: int) -> None:
    assert most_at_once(starts, ends) == most


@pytest.mark.parametrize(
    ("aim", "values", "failures", "met"),
    [
        (Aim(median=0.5), [0.4, 0.5, 3.0], 0, True),
        (Aim(median=0.5), [0.4, 0.6, 0.7], 0, False),
        (Aim(median=60, worst=1000), [10.0, 20.0, 1001.0], 0, False),
        (Aim(worst=1000), [999.0], 1, False),
        (Aim(median=60, more_is_better=True), [61.0], 0, True),
        (Aim(median=60, more_is_better=True), [59.0], 0, False),
        (Aim(median=60), [], 0, False),
    ],
)
def test_an_aim_is_met_or_not(aim: Aim, values: list[float], failures: int, met: bool) -> None:
    figure = Figure(row=Row.LIST, subject="wildloop", values=values, failures=failures)
    assert aim.met_by(figure) is met


def test_a_report_survives_json() -> None:
    report = example_report()
    assert Report.model_validate_json(report.model_dump_json()) == report
