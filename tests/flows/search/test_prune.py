"""Stopping early: the median rule and successive halving."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.models.run import MetricPoint
from wildloop.flows.search.prune import Reading, curve_of, halving_stops, median_stops


def line(*values: float) -> list[Reading]:
    return [Reading(step, value) for step, value in enumerate(values, start=1)]


def test_a_curve_is_the_metric_by_step_and_the_last_of_a_step_counts() -> None:
    points = [
        MetricPoint(name="acc", value=0.2, step=2),
        MetricPoint(name="acc", value=0.1, step=1),
        MetricPoint(name="loss", value=9, step=3),
        MetricPoint(name="acc", value=0.3, step=2),
    ]
    assert curve_of(points, "acc") == [Reading(1, 0.1), Reading(2, 0.3)]


def test_points_without_a_step_are_counted_and_lost_values_are_nan() -> None:
    curve = curve_of([MetricPoint(name="a", value=1), MetricPoint(name="a", value=None)], "a")
    assert [one.step for one in curve] == [1, 2]
    assert math.isnan(curve[1].value)


def test_the_median_rule_stops_what_is_below_and_keeps_what_is_above() -> None:
    rivals = [line(0.5, 0.6, 0.7), line(0.4, 0.5, 0.6), line(0.1, 0.2, 0.3)]
    assert median_stops(line(0.1, 0.2, 0.3), rivals, True)
    assert not median_stops(line(0.1, 0.2, 0.55), rivals, True)
    assert not median_stops(line(0.1, 0.2, 0.3), rivals, False)


def test_the_median_rule_looks_at_the_same_step_only() -> None:
    rivals = [line(0.1, 0.1, 0.1, 9, 9)] * 3
    assert not median_stops(line(0.2, 0.2, 0.2), rivals, True)
    assert median_stops(line(0.2, 0.2, 0.2, 0.2, 0.2), rivals, True)


def test_the_median_rule_waits_for_rivals_and_readings() -> None:
    good = line(9, 9, 9, 9)
    assert not median_stops(line(0, 0, 0), [good] * 2, True)
    assert not median_stops(line(0, 0), [good] * 5, True)
    assert not median_stops(line(0, 0, 0), [line(9, 9)] * 5, True)
    assert not median_stops([], [good] * 5, True)


def test_a_trial_that_never_had_a_finite_value_is_stopped() -> None:
    nan = math.nan
    assert median_stops(line(nan, nan, nan), [line(3, 2, 1)] * 3, False)
    assert halving_stops(line(nan, nan, nan), [line(3, 2, 1)] * 3, False)


def test_trials_that_are_equal_go_on() -> None:
    assert not median_stops(line(1, 1, 1), [line(1, 1, 1)] * 4, True)
    assert not halving_stops(line(1, 1, 1), [line(1, 1, 1)] * 8, True)


def test_halving_keeps_the_best_third_at_a_rung() -> None:
    curves = [line(*[float(rank)] * 3) for rank in range(9)]
    stopped = [
        halving_stops(one, [rival for rival in curves if rival is not one], True) for one in curves
    ]
    assert stopped == [True] * 6 + [False] * 3


def test_halving_compares_at_the_rung_and_not_beyond_it() -> None:
    late = line(0, 0, 0, 9, 9, 9)
    assert not halving_stops(line(1, 1, 1), [late] * 5, True)
    assert halving_stops(line(1, 1, 1, 1), [line(2, 2, 2)] * 5, True)


def test_halving_climbs_to_the_next_rung() -> None:
    rivals = [line(*[0.0] * 3, *[5.0] * 6)] * 3
    trial = line(*[1.0] * 9)
    assert not halving_stops(trial[:8], rivals, True)
    assert halving_stops(trial, rivals, True)


def test_halving_waits_for_the_first_rung_and_for_peers() -> None:
    assert not halving_stops(line(0, 0), [line(9, 9, 9)] * 5, True)
    assert not halving_stops(line(0, 0, 0), [line(9, 9, 9)], True)
    assert not halving_stops([], [line(9, 9, 9)] * 5, True)


def test_a_broken_option_is_refused() -> None:
    with pytest.raises(ValueError, match="reduction"):
        halving_stops(line(1, 1, 1), [], True, reduction=1)


@given(st.lists(st.lists(st.floats(-9, 9), min_size=3, max_size=12), min_size=4, max_size=9))
def test_neither_rule_stops_the_best_of_all(values: list[list[float]]) -> None:
    top = max(max(one) for one in values) + 1
    best, rivals = line(*[top] * 12), [line(*one) for one in values]
    assert all(one.step < other.step for one, other in pairwise(best))
    assert not median_stops(best, rivals, True)
    assert not halving_stops(best, rivals, True)
    mirrored = [line(*[-value for value in one]) for one in values]
    assert not median_stops(line(*[-top] * 12), mirrored, False)
    assert not halving_stops(line(*[-top] * 12), mirrored, False)
