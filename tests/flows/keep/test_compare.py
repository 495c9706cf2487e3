"""Better, or noise: the tests and how often they are wrong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.keep import compare as module
from flows.keep.compare import compare, merged_spread, pooled_spread
from flows.models.keep import Spread

BEST = [0.90, 0.91, 0.92, 0.905]


def test_welch_agrees_with_scipy_in_both_directions() -> None:
    from scipy import stats

    better = [0.93, 0.95, 0.94]
    found = compare(better, BEST, "max")
    expected = stats.ttest_ind(better, BEST, equal_var=False, alternative="greater").pvalue
    assert found.test == module.WELCH
    assert found.p == pytest.approx(float(expected))
    assert found.established
    mirrored = compare([-value for value in better], [-value for value in BEST], "min")
    assert mirrored.p == pytest.approx(found.p)
    assert not compare(better, BEST, "min").established


@pytest.mark.parametrize(
    ("candidate", "best", "spread", "test", "established"),
    [
        ([0.98], BEST, None, module.ONE_SEED, True),
        ([0.92], BEST, None, module.ONE_SEED, False),
        (BEST, [0.80], None, module.ONE_SEED, True),
        ([0.91], [0.90], None, module.NOT_ESTABLISHED, False),
        ([9.0], [0.1], None, module.NOT_ESTABLISHED, False),
        ([0.98], [0.90], Spread(sd=0.01, df=6), module.KNOWN_SPREAD, True),
        ([0.91], [0.90], Spread(sd=0.01, df=6), module.KNOWN_SPREAD, False),
        ([0.91], [0.90], Spread(sd=0.0, df=3), module.NO_SPREAD, True),
        ([0.91, 0.91], [0.90, 0.90], None, module.NO_SPREAD, True),
        ([0.90, 0.90], [0.90, 0.90], None, module.NO_SPREAD, False),
        ([0.91, 0.91], [0.90, 0.90], Spread(sd=0.02, df=8), module.KNOWN_SPREAD, False),
        ([0.91, 0.91, 0.91], [0.90, 0.80, 0.70], None, module.WELCH, False),
    ],
)
def test_what_is_known_of_the_spread_decides_the_test(
    candidate: list[float], best: list[float], spread: Spread | None, test: str, established: bool
) -> None:
    found = compare(candidate, best, "max", spread=spread)
    assert (found.test, found.established) == (test, established)
    assert found.why


def test_more_configurations_ask_for_more_evidence() -> None:
    alone = compare([0.93, 0.94, 0.95], BEST, "max")
    among = compare([0.93, 0.94, 0.95], BEST, "max", tried=20)
    assert alone.p is not None and among.p is not None
    assert among.p == pytest.approx(min(1.0, 20 * alone.p))
    assert alone.established and not among.established
    assert "times 20 configurations" in among.why


@pytest.mark.parametrize("values", [[], [float("nan")], [float("inf"), 1.0]])
def test_values_that_cannot_be_compared_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite value"):
        compare(values, BEST, "max")


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8),
    st.sampled_from(["max", "min"]),
)
def test_no_values_break_it_and_both_cannot_be_better(
    one: list[float], other: list[float], direction: str
) -> None:
    there = compare(one, other, direction)  # type: ignore[arg-type]
    back = compare(other, one, direction)  # type: ignore[arg-type]
    assert not (there.established and back.established)
    for found in (there, back):
        assert found.p is None or 0 <= found.p <= 1
        assert not found.established or found.gain > 0


def keep_rate(effect: float, n: int, m: int, trials: int, spread: Spread | None = None) -> float:
    """How often a change with this true effect, in standard deviations, is kept."""
    chance = np.random.default_rng(20_260_101)
    draws = chance.normal(size=(trials, n + m))
    kept = sum(
        compare(list(row[:n] + effect), list(row[n:]), "max", spread=spread).established
        for row in draws
    )
    return kept / trials


@pytest.mark.parametrize(("n", "m"), [(2, 3), (3, 3), (5, 5), (3, 10), (1, 5), (5, 1)])
def test_noise_is_kept_about_as_often_as_alpha_says(n: int, m: int) -> None:
    # 2,000 draws: the standard error at 0.05 is 0.005.
    assert 0.01 < keep_rate(0.0, n, m, 2000) < 0.07


def test_noise_of_single_seeds_is_held_by_a_spread_measured_before() -> None:
    assert 0.03 < keep_rate(0.0, 1, 1, 2000, Spread(sd=1.0, df=1000)) < 0.07


@pytest.mark.parametrize(("n", "least"), [(3, 0.5), (5, 0.85)])
def test_a_gain_of_two_standard_deviations_is_mostly_found(n: int, least: float) -> None:
    assert keep_rate(2.0, n, n, 1000) > least


def test_spread_is_pooled_within_groups() -> None:
    found = pooled_spread([[1.0, 3.0], [10.0, 12.0, 14.0], [5.0]])
    assert found is not None
    assert found.df == 3
    assert found.sd == pytest.approx((10 / 3) ** 0.5)
    assert pooled_spread([[1.0], [2.0]]) is None
    both = merged_spread(found, Spread(sd=found.sd, df=7))
    assert both is not None and both.df == 10 and both.sd == pytest.approx(found.sd)
    assert merged_spread(None, found) == found
