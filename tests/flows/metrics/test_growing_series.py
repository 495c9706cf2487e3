"""A series keeps its shape in bounded memory."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.metrics.series import GrowingSeries, Sample


def grown(values: list[float | None], limit: int) -> GrowingSeries:
    found = GrowingSeries(limit)
    for step, value in enumerate(values):
        found.add(Sample("x", value, step))
    return found


@given(st.lists(st.floats(-100, 100) | st.none(), max_size=300), st.integers(4, 40))
def test_order_extremes_and_ends_are_kept(values: list[float | None], limit: int) -> None:
    found = grown(values, limit)
    kept = found.samples()
    assert len(kept) <= limit + 2
    steps = [sample.step for sample in kept]
    assert steps == sorted(set(steps), key=lambda step: step or 0)
    assert all(values[int(sample.step or 0)] == sample.value for sample in kept)
    assert found.count == len(values)
    if len(values) <= limit:
        assert [sample.value for sample in kept] == values
    finite = [value for value in values if value is not None]
    if finite:
        left = [sample.value for sample in kept if sample.value is not None]
        assert (min(left), max(left)) == (min(finite), max(finite))
        assert (found.lowest, found.highest) == (min(finite), max(finite))
        assert found.last == finite[-1]
    if values:
        assert (kept[0].step, kept[-1].step) == (0, len(values) - 1)


def test_a_long_series_is_thinned_evenly() -> None:
    kept = grown([float(step) for step in range(100_000)], 1000).samples()
    steps = [int(sample.step or 0) for sample in kept]
    assert 250 <= len(steps) <= 1002
    assert max(later - earlier for earlier, later in itertools.pairwise(steps)) < 600


def test_a_series_can_be_shrunk_later() -> None:
    found = grown([float(step) for step in range(500)], 1000)
    found.shrink(50)
    assert len(found.samples()) <= 52
    found.add(Sample("x", -1.0, 500))
    assert found.samples()[-1].value == -1
