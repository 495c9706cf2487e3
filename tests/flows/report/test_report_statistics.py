"""How sure a difference is said to be."""

import random

import pytest
from scipy import stats

from flows.report.statistics import difference, spread


def test_interval_is_welchs() -> None:
    one, other = [0.974, 0.976, 0.981], [0.90, 0.91, 0.92]
    found = difference(one, other)
    assert found is not None and found.low is not None and found.high is not None
    # By hand: s1^2/n1 + s2^2/n2, Welch-Satterthwaite degrees of freedom.
    parts = [stats.tvar(side) / len(side) for side in (one, other)]
    freedom = sum(parts) ** 2 / sum(part**2 / 2 for part in parts)
    half = stats.t.ppf(0.975, freedom) * sum(parts) ** 0.5
    assert found.low == pytest.approx(0.067 - half)
    assert found.high == pytest.approx(0.067 + half)
    assert found.is_established


@pytest.mark.parametrize(
    ("one", "other", "word"),
    [
        ([1.0], [1.0, 2.0], "two seeds"),
        ([1.0, 1.0], [2.0, 2.0], "spread"),
        ([1.0, 1.1], [2.0, 2.2, 2.1], "few"),
    ],
)
def test_small_samples_are_said_to_be_small(
    one: list[float], other: list[float], word: str
) -> None:
    found = difference(one, other)
    assert found is not None and word in found.why_unsure


def test_no_values_no_difference() -> None:
    assert difference([], [1.0]) is None
    assert spread([1.0]) is None


def test_noise_is_established_no_more_often_than_the_confidence_says() -> None:
    rng = random.Random(7)
    false = 0
    for _ in range(400):
        found = difference([rng.gauss(0, 1) for _ in range(5)], [rng.gauss(0, 2) for _ in range(5)])
        false += found is not None and found.is_established
    assert false / 400 < 0.09
