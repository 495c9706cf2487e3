"""Better, or noise: the one comparison, and how often it is wrong."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wildloop.flows.evidence.compare import (
    EXACT,
    NOT_ESTABLISHED,
    PAIRED,
    WELCH,
    compare,
    is_exact_metric,
    seeds_to_decide,
)
from wildloop.flows.evidence.estimate import estimate_of
from wildloop.flows.evidence.spread import prior_variance
from wildloop.flows.models.evidence import Estimate


def over(*values: float, first: int = 0) -> Estimate:
    return estimate_of({str(first + number): value for number, value in enumerate(values)})


BASE = over(0.90, 0.91, 0.92, 0.905)


def test_an_estimate_has_mean_deviation_and_t_interval() -> None:
    found = over(0.5, 0.7, 0.9)
    low, high = stats.t.interval(0.95, 2, loc=0.7, scale=stats.sem([0.5, 0.7, 0.9]))
    assert (found.mean, found.sd, found.n) == (pytest.approx(0.7), pytest.approx(0.2), 3)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.text == "0.7 ± 0.2 (n=3)"
    assert (over(0.5).sd, over(0.5).text, over().text) == (None, "0.5 (n=1)", "no value")


def test_without_neighbours_it_is_welchs_test_in_both_directions() -> None:
    better = over(0.93, 0.95, 0.94)
    found = compare(better, BASE, "max")
    expected = stats.ttest_ind(
        better.values, BASE.values, equal_var=False, alternative="greater"
    ).pvalue
    assert (found.test, found.established) == (WELCH, True)
    assert found.p == pytest.approx(float(expected))
    mirrored = compare(
        over(*(-value for value in better.values)), over(*(-value for value in BASE.values)), "min"
    )
    assert mirrored.p == pytest.approx(found.p)
    assert not compare(better, BASE, "min").established


@pytest.mark.parametrize(
    ("ours", "theirs", "neighbours", "test", "established"),
    [
        (over(0.98), BASE, [], WELCH, False),
        (BASE, over(0.80), [], WELCH, False),
        (over(9.0), over(0.1), [], NOT_ESTABLISHED, False),
        (over(0.98), over(0.90), [BASE], WELCH, False),
        (over(0.91, 0.91), over(0.90, 0.90), [BASE, over(0.8, 0.85, 0.9)], WELCH, False),
        (over(0.91, 0.91, 0.91), over(0.90, 0.80, 0.70), [], WELCH, False),
    ],
)
def test_one_seed_is_a_candidate_and_nothing_more(
    ours: Estimate, theirs: Estimate, neighbours: list[Estimate], test: str, established: bool
) -> None:
    found = compare(ours, theirs, "max", neighbours=neighbours)
    assert (found.test, found.established) == (test, established)
    assert found.why


@pytest.mark.parametrize("noise", [0.0, 1e-16, -1e-16])
def test_a_metric_without_spread_is_compared_exactly_whatever_the_rounding(noise: float) -> None:
    ours, theirs = over(1.0, 1.0 + noise, 1.0), over(0.9, 0.9, 0.9 + noise)
    groups = [ours.values, theirs.values]
    assert is_exact_metric(groups)
    found = compare(ours, theirs, "max", is_exact=True)
    assert (found.test, found.established, found.p) == (EXACT, True, 0.0)
    tie = compare(ours, over(1.0), "max", is_exact=True)
    assert (tie.established, tie.gain) == (False, 0.0)
    assert compare(over(1.0), over(0.9), "max", is_exact=True).established


@pytest.mark.parametrize(
    ("groups", "exact"),
    [
        ([[0.5, 0.5, 0.5]], True),
        ([[0.5, 0.5], [0.7, 0.7]], True),
        ([[0.5, 0.5], [0.7]], False),
        ([[0.5, 0.5, 0.5], [0.7, 0.71]], False),
        ([[0.5], [0.7]], False),
    ],
)
def test_two_repetitions_have_to_show_that_there_is_no_spread(
    groups: list[list[float]], exact: bool
) -> None:
    assert is_exact_metric(groups) is exact


def test_seeds_that_move_all_alike_are_compared_one_by_one() -> None:
    shift = [0.0, 0.4, -0.3, 0.2, -0.5]
    jitter = [[0.01, -0.02, 0.0, 0.02, -0.01], [-0.01, 0.0, 0.02, -0.02, 0.01], [0.0] * 5]
    base, ours, other = (
        over(*(level + a + b for a, b in zip(shift, noise, strict=True)))
        for level, noise in zip([1.0, 1.1, 0.9], jitter, strict=True)
    )
    found = compare(ours, base, "max", neighbours=[other])
    assert (found.test, found.established) == (PAIRED, True)
    assert found.gain == pytest.approx(0.1)
    assert not compare(over(*ours.values, first=5), base, "max", neighbours=[other]).established
    # Differences without any spread give no scale: the careful test is shown.
    still = compare(over(*(one + 0.6 for one in shift)), over(*shift), "max")
    assert still.test == WELCH


def test_few_seeds_borrow_the_spread_of_their_neighbours_and_not_that_of_a_noisy_baseline() -> None:
    tight = [over(1.0 + n, 1.001 + n, 0.999 + n) for n in range(6)]
    ours, best = over(0.519, 0.520), over(0.501, 0.500)
    alone, among = compare(ours, best, "max"), compare(ours, best, "max", neighbours=tight)
    assert alone.p is not None and among.p is not None and among.p < alone.p / 20
    noisy = over(0.40, 0.44, 0.36)
    against = compare(ours, noisy, "max", neighbours=tight)
    assert against.error is not None and noisy.sd is not None
    assert against.error >= noisy.sd / math.sqrt(3), "its own spread is no neighbour's"


def test_neighbours_that_disagree_are_believed_less() -> None:
    rng = np.random.default_rng(1)
    alike = [over(*rng.normal(0, 1, 4)) for _ in range(12)]
    unlike = [over(*rng.normal(0, 10.0 ** rng.uniform(-1, 1), 4)) for _ in range(12)]
    one, other = prior_variance(alike), prior_variance(unlike)
    assert one is not None and other is not None and other.df < one.df / 3


@pytest.mark.parametrize("values", [[], [float("nan")], [float("inf"), 1.0]])
def test_values_that_cannot_be_compared_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"value|finite"):
        compare(
            Estimate(values=values, seeds=["0"], mean=values[0] if values else None), BASE, "max"
        )


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8),
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4), max_size=4),
    st.sampled_from(["max", "min"]),
)
def test_no_values_break_it_and_both_cannot_be_better(
    one: list[float], other: list[float], groups: list[list[float]], direction: str
) -> None:
    near = [over(*group) for group in groups]
    there = compare(over(*one), over(*other), direction, neighbours=near)  # type: ignore[arg-type]
    back = compare(over(*other), over(*one), direction, neighbours=near)  # type: ignore[arg-type]
    assert not (there.established and back.established)
    for found in (there, back):
        assert found.p is None or 0 <= found.p <= 1
        more = seeds_to_decide(found)
        assert more is None or 1 <= more <= 50


@pytest.mark.parametrize(("spread", "neighbours"), [(0.0, 0), (0.0, 8), (0.7, 8)])
def test_noise_is_shown_better_as_often_as_the_limit_says(spread: float, neighbours: int) -> None:
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(600):
        sds = np.exp(spread * rng.normal(size=neighbours + 2))
        groups = [over(*rng.normal(0, sd, 3)) for sd in sds[2:]]
        ours, theirs = (over(*rng.normal(0, sd, 4)) for sd in sds[:2])
        false += compare(ours, theirs, "max", neighbours=groups, limit=0.05).established
    # 600 draws: the standard error at 0.05 is 0.009.
    assert false / 600 < 0.075


def test_as_many_seeds_as_are_said_to_decide_do_so_mostly() -> None:
    rng = np.random.default_rng(4)
    found = compare(over(1.5, 1.4, 1.6), over(0.9, 1.3, 1.1), "max", limit=0.01)
    more = seeds_to_decide(found)
    assert more is not None and found.error is not None
    sd = found.error / math.sqrt(2 / 3)
    shown = sum(
        compare(
            over(*rng.normal(found.gain, sd, 3 + more)),
            over(*rng.normal(0, sd, 3 + more)),
            "max",
            limit=0.01,
        ).established
        for _ in range(300)
    )
    assert statistics.fmean([shown / 300]) > 0.65
