"""Search spaces: between parameters, the unit cube, Optuna and command lines."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import create_trial

from wildloop.flows.models.evo import EvoSweepSpec
from wildloop.flows.search.space import Space

SPACE = {
    "lr": {"low": 1e-5, "high": 1.0, "log": True},
    "momentum": {"low": -1.0, "high": 0.5},
    "layers": {"low": 1, "high": 9, "int": True},
    "batch": {"low": 8, "high": 512, "int": True, "log": True},
    "act": ["relu", [1, 2], None, True],
}


def sweep(**fields: Any) -> EvoSweepSpec:
    given = {"target_script": "train.py", "fitness_metric": "acc", "search_space": SPACE}
    return EvoSweepSpec.model_validate(given | fields)


def space_of(dimensions: dict[str, Any]) -> Space:
    return Space(sweep(search_space=dimensions).search_space)


points = st.lists(st.floats(-0.5, 1.5), min_size=len(SPACE), max_size=len(SPACE))


@given(points)
def test_every_point_decodes_into_the_space(point: list[float]) -> None:
    space = space_of(SPACE)
    assert space.contains(space.decode(point))


@given(points)
def test_encoding_and_decoding_again_changes_nothing(point: list[float]) -> None:
    space = space_of(SPACE)
    once = space.decode(point)
    again = space.decode(space.encode(once))
    for name, value in once.items():
        if isinstance(value, float):
            assert again[name] == pytest.approx(value, rel=1e-5, abs=1e-6)
        else:
            assert again[name] == value


@given(points)
def test_optuna_gives_back_what_it_was_given(point: list[float]) -> None:
    space = space_of(SPACE)
    parameters = space.decode(point)
    assert space.of_optuna(space.to_optuna(parameters)) == parameters
    # Raises where a value is not of its distribution.
    create_trial(params=space.to_optuna(parameters), distributions=space.distributions, value=0.0)


def test_the_bounds_lie_at_the_walls_of_the_cube() -> None:
    space = space_of(SPACE)
    low, high = space.decode([0.0] * 5), space.decode([1.0] * 5)
    assert [low[name] for name in ("lr", "momentum", "layers", "batch")] == [1e-5, -1.0, 1, 8]
    assert [high[name] for name in ("lr", "momentum", "layers", "batch")] == [1.0, 0.5, 9, 512]


def test_a_log_range_has_its_geometric_mean_in_the_middle() -> None:
    assert space_of({"lr": SPACE["lr"]}).decode([0.5])["lr"] == pytest.approx(10**-2.5, rel=1e-5)


def test_whole_numbers_have_equal_shares() -> None:
    space = space_of({"n": {"low": 1, "high": 4, "int": True}})
    counted = [space.decode([(i + 0.5) / 400])["n"] for i in range(400)]
    assert [counted.count(n) for n in (1, 2, 3, 4)] == [100] * 4


@pytest.mark.parametrize(
    "bounds", [(1.0, 1.0 + 1e-9), (0.1234567891, 0.1234567899), (-1e-300, 1e-300), (1e15, 2e15)]
)
def test_rounding_stays_in_a_narrow_range_and_keeps_its_values_apart(
    bounds: tuple[float, float],
) -> None:
    space = space_of({"x": {"low": bounds[0], "high": bounds[1]}})
    values = [space.decode([share])["x"] for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert all(space.contains({"x": value}) for value in values)
    assert len(set(map(str, values))) >= 4


def test_a_countable_space_is_counted_and_listed() -> None:
    space = space_of({"a": [1, 2], "n": {"low": 1, "high": 3, "int": True}})
    assert space.size == 6
    assert len(list(space.configurations())) == 6
    assert space_of(SPACE).size is None


@pytest.mark.parametrize(
    "change",
    [{"lr": 2.0}, {"lr": "0.1"}, {"lr": True}, {"layers": 1.5}, {"act": "gelu"}, {"more": 1}],
)
def test_foreign_parameters_are_not_contained(change: dict[str, Any]) -> None:
    space = space_of(SPACE)
    parameters = space.decode([0.5] * 5)
    assert space.contains(parameters)
    assert not space.contains(parameters | change)
