"""NaN and jumping losses are told; healthy curves, however noisy, are not."""

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildloop.flows.alerts.series import SeriesWatch, is_loss
from wildloop.flows.metrics.series import Sample
from wildloop.flows.models.alert import AlertKind, Finding, Severity
from wildloop.flows.project import AlertsConfig, MetricConfig

Curve = Callable[[random.Random, int], list[float]]


def found(
    values: Sequence[float | None],
    name: str = "loss",
    primary: MetricConfig | None = None,
    config: AlertsConfig | None = None,
) -> list[Finding]:
    watch = SeriesWatch(config or AlertsConfig(), primary)
    return watch.see(
        [Sample(name=name, value=value, step=step) for step, value in enumerate(values)]
    )


@pytest.mark.parametrize(
    "name",
    [
        *("loss", "train/loss", "val_loss", "valLoss", "trainloss", "loss1", "losses.ce"),
        *("nll", "eval-ppl", "Perplexity", "cross_entropy", "mse", "loss/total"),
    ],
)
def test_names_of_losses_are_known(name: str) -> None:
    assert is_loss(name)


@pytest.mark.parametrize(
    "name", ["accuracy", "lr", "loss_scale", "lossWeight", "lossy_frames", "closs_ratio", "score"]
)
def test_other_names_are_no_losses(name: str) -> None:
    assert not is_loss(name)


def test_nan_loss_is_told_once_with_the_last_good_value() -> None:
    (finding,) = found([2.0, 1.5, None, None, 1.4, None])
    assert (finding.kind, finding.severity) == (AlertKind.NAN, Severity.CRITICAL)
    assert finding.message == (
        "loss is NaN or infinite at step 2 (last finite value: 1.5 at step 1)"
    )
    assert {"continue", "stop", "rerun"} == set(finding.choices)


def test_nan_in_the_first_value_is_told() -> None:
    (finding,) = found([None])
    assert finding.message == "loss is NaN or infinite at step 0"


def test_nan_is_told_of_losses_and_the_primary_metric_only() -> None:
    assert found([0.1, None], "grad_norm") == []
    primary = MetricConfig(name="score")
    (finding,) = found([0.1, None], "score", primary)
    assert finding.kind is AlertKind.NAN


def test_each_loss_has_a_nan_of_its_own() -> None:
    watch = SeriesWatch(AlertsConfig())
    points = [Sample(name=name, value=None) for name in ("loss", "val_loss", "loss")]
    assert [one.key for one in watch.see(points)] == ["nan:loss", "nan:val_loss"]


def test_one_wild_value_is_a_spike() -> None:
    (finding,) = found([1.0] * 20 + [10.0] + [1.0] * 20)
    assert (finding.kind, finding.severity) == (AlertKind.SPIKE, Severity.WARNING)
    assert "jumped to 10 at step 20" in finding.message
    assert "median is 1" in finding.message


def test_a_smaller_jump_is_a_spike_once_it_lasts() -> None:
    base = [1.0, 1.05, 0.95] * 10
    assert found([*base, 2.7, *base]) == []
    (finding,) = found([*base, 2.7, 2.7, 2.7, 2.7])
    assert "at step 32" in finding.message


def test_a_jump_to_a_new_level_is_told_once() -> None:
    assert len(found([1.0] * 30 + [20.0] * 200)) == 1


def test_later_spikes_are_told_again_with_keys_of_their_own() -> None:
    keys = [one.key for one in found(([1.0] * 100 + [50.0]) * 3)]
    assert keys == ["spike:loss:101", "spike:loss:202", "spike:loss:303"]


def test_a_steep_fall_does_not_hide_a_spike_after_it() -> None:
    falling = [2.5 * 0.75**step for step in range(20)]
    (finding,) = found([*falling, 5.0])
    assert finding.kind is AlertKind.SPIKE


def test_a_steady_rise_is_no_spike_and_hides_none() -> None:
    rising = [float(step) for step in range(1, 31)]
    assert found(rising) == []
    assert len(found([*rising, 900.0])) == 1


def test_too_few_values_make_no_spike() -> None:
    assert found([1.0] * 9 + [100.0]) == []


def test_a_rise_of_a_metric_that_is_to_rise_is_no_spike() -> None:
    values = [0.1] * 30 + [5.0]
    assert found(values, "score", MetricConfig(name="score", direction="max")) == []
    assert len(found(values, "score", MetricConfig(name="score", direction="min"))) == 1


def test_a_higher_factor_bears_larger_jumps() -> None:
    noisy = [1.0, 1.2, 0.8, 1.1, 0.9] * 8
    values = [*noisy, 6.0]
    assert len(found(values)) == 1
    assert found(values, config=AlertsConfig(spike_factor=100)) == []


def test_an_outlier_of_a_memorised_set_is_no_spike() -> None:
    start = [2.3 * 0.9**step for step in range(100)]
    assert found([*start, *[1e-5] * 50, 1e-2, *[1e-5] * 50]) == []


def _falls(step: int, steps: int) -> float:
    return 0.2 + 2.3 * math.exp(-5 * step / steps)


def _normal(rng: random.Random, n: int) -> list[float]:
    return [_falls(i, n) * (1 + 0.05 * rng.gauss(0, 1)) for i in range(n)]


def _small_batch(rng: random.Random, n: int) -> list[float]:
    return [abs(_falls(i, n) * (1 + 0.3 * rng.gauss(0, 1))) for i in range(n)]


def _lognormal(rng: random.Random, n: int) -> list[float]:
    return [_falls(i, n) * math.exp(0.5 * rng.gauss(0, 1)) for i in range(n)]


def _memorised(rng: random.Random, n: int) -> list[float]:
    return [2.3 * math.exp(-12 * i / n) * math.exp(rng.gauss(0, 1)) for i in range(n)]


def _cyclic(rng: random.Random, n: int) -> list[float]:
    return [0.5 + 0.2 * math.sin(i / 20) + 0.02 * rng.gauss(0, 1) for i in range(n)]


def _steps_down(rng: random.Random, n: int) -> list[float]:
    levels = (2.0, 0.5, 0.1)
    return [levels[3 * i // n] * (1 + 0.1 * rng.gauss(0, 1)) for i in range(n)]


def _overfits(rng: random.Random, n: int) -> list[float]:
    return [0.5 + i / n + 0.05 * rng.gauss(0, 1) for i in range(n)]


def _around_zero(rng: random.Random, n: int) -> list[float]:
    return [rng.gauss(0, 1) for _ in range(n)]


def _exponential(rng: random.Random, n: int) -> list[float]:
    return [_falls(i, n) * rng.expovariate(1) for i in range(n)]


HEALTHY: list[Curve] = [
    _normal,
    _small_batch,
    _lognormal,
    _memorised,
    _cyclic,
    _steps_down,
    _overfits,
    _around_zero,
    _exponential,
]
CURVES = 20
VALUES = 1000


@pytest.mark.parametrize("curve", HEALTHY, ids=lambda curve: curve.__name__.strip("_"))
def test_at_most_one_healthy_curve_in_ten_of_a_thousand_steps_alarms(curve: Curve) -> None:
    alarmed = [seed for seed in range(CURVES) if found(curve(random.Random(seed), VALUES))]
    assert len(alarmed) <= CURVES // 10


@pytest.mark.parametrize("curve", [_normal, _cyclic, _steps_down, _overfits])
def test_a_jump_far_above_all_values_is_seen_in_noise(curve: Curve) -> None:
    for seed in range(CURVES):
        rng = random.Random(seed)
        values = curve(rng, VALUES)
        at = rng.randrange(50, VALUES)
        values[at] = 6 * max(values[: at + 1])
        assert f"at step {at}" in "".join(one.message for one in found(values))


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), finite), max_size=120))
def test_any_series_gives_at_most_one_nan_and_spaced_spikes(values: list[float | None]) -> None:
    findings = found(values)
    kinds = [one.kind for one in findings]
    assert (AlertKind.NAN in kinds) == (None in values)
    assert kinds.count(AlertKind.NAN) <= 1
    assert kinds.count(AlertKind.SPIKE) <= 3
    assert len({one.key for one in findings}) == len(findings)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0.5, 1.4), min_size=1, max_size=200), st.floats(1e-3, 1e3))
def test_values_within_a_factor_of_two_never_alarm(values: list[float], scale: float) -> None:
    assert found([value * scale for value in values]) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.01, 100), min_size=20, max_size=100), st.integers(1, 99))
def test_chunks_of_points_are_judged_like_the_whole(values: list[float], cut: int) -> None:
    points = [Sample(name="loss", value=value) for value in values]
    watch = SeriesWatch(AlertsConfig())
    assert watch.see(points[:cut]) + watch.see(points[cut:]) == found_without_steps(points)


def found_without_steps(points: list[Sample]) -> list[Finding]:
    return SeriesWatch(AlertsConfig()).see(points)


def test_a_flood_of_names_is_bounded() -> None:
    watch = SeriesWatch(AlertsConfig())
    points = [Sample(name=f"loss/{number}", value=None) for number in range(1000)]
    assert len(watch.see(points)) == 200
