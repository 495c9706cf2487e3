"""Which runs a sweep's grid makes."""

import shlex
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.run import RunCounts
from wildloop.flows.models.sweep import (
    SweepCreate,
    SweepRecord,
    SweepStatus,
    SweepUpdate,
    sweep_status,
)
from wildloop.flows.search.grid import expand, grid_specs


def record(**fields: object) -> SweepRecord:
    """A sweep of `python train.py`."""
    given = {"id": "s", "name": "heights", "base_command": "python train.py", "created_at": 0}
    return SweepRecord.model_validate(given | {"max_runs": 10, "workdir": "/w"} | fields)


def test_every_combination_is_made_and_the_last_parameter_changes_fastest() -> None:
    grid = expand({"lr": [0.1, 0.01], "seed": [1, 2]}, 10)
    pairs = [(one["lr"], one["seed"]) for one in grid.configurations]
    assert pairs == [(0.1, 1), (0.1, 2), (0.01, 1), (0.01, 2)]
    assert (grid.skipped, grid.notes) == (0, [])


@given(
    st.lists(st.integers(1, 6), max_size=4),
    st.integers(1, 40),
)
def test_first_max_runs_combinations_count_and_the_rest_is_named(
    sizes: list[int], max_runs: int
) -> None:
    grid = expand({f"p{i}": list(range(size)) for i, size in enumerate(sizes)}, max_runs)
    whole = list(product(*map(range, sizes)))
    assert [tuple(one.values()) for one in grid.configurations] == whole[:max_runs]
    assert grid.skipped == max(0, len(whole) - max_runs)
    assert bool(grid.notes) == (grid.skipped > 0)
    if grid.skipped:
        assert str(grid.skipped) in grid.notes[0] and "max_runs" in grid.notes[0]


def test_huge_grid_is_cut_without_being_made() -> None:
    grid = expand({f"p{i}": list(range(1000)) for i in range(20)}, 3)
    assert len(grid.configurations) == 3
    assert grid.skipped == 1000**20 - 3


def test_repeated_value_counts_once_but_one_and_true_are_two() -> None:
    grid = expand({"x": [1, True, 1, "1", 1.0]}, 10)
    assert [one["x"] for one in grid.configurations] == [1, True, "1", 1.0]
    assert "parameters.x: 1 repeated" in grid.notes[0]


def test_parameters_are_appended_as_quoted_flags_with_the_seed_recorded() -> None:
    specs = grid_specs(record(parameters={"tag": ["a b; rm -rf /"], "seed": [7], "amp": [True]}))
    assert shlex.split(specs[0].command) == [
        *("python", "train.py", "--tag=a b; rm -rf /", "--seed=7", "--amp=true")
    ]
    assert (specs[0].seed, specs[0].sweep_id, specs[0].workdir) == (7, "s", "/w")


def test_grid_without_parameters_is_one_run_of_the_command() -> None:
    assert [spec.command for spec in grid_specs(record())] == ["python train.py"]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"parameters": {"a b": [1]}}, "parameters: 'a b'"),
        ({"parameters": {"x": ["\x00"]}}, "parameters: 'x'"),
        ({"parameters": {"x": [2**70]}}, "parameters: 'x'"),
        ({"base_command": "train &", "parameters": {"x": [1]}}, "base_command"),
        ({"base_command": "train # note", "parameters": {"x": [1]}}, "base_command"),
        ({"base_command": "a\x00b"}, "base_command"),
        ({"parameters": {"a\ud800": [1]}}, "parameters: a name"),
    ],
)
def test_grid_that_cannot_be_run_is_refused_by_field(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        grid_specs(record(**fields))
    assert str(caught.value).startswith(named)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "completed"},
        {"status": "draft", "auto_start": True},
        {"parameters": {"lr": []}},
        {"parameters": {"lr": 0.1}},
        {"max_runs": 0},
        {"max_runs": 1001},
        {"base_command": "  "},
        {"nonsense": 1},
        {"goal": "a\x00b"},
        {"goal": "\ud800"},
        {"workdir": "a\x00b"},
        {"parameters": {"\ud800": [1]}},
        {"parameters": {"lr": [float("nan")]}},
        {"parameters": {"lr": [{"deep": [float("inf")]}]}},
    ],
)
def test_body_that_contradicts_itself_is_refused(fields: dict[str, object]) -> None:
    body = {"name": "x", "base_command": "true"}
    assert SweepCreate.model_validate(body).beginning is SweepStatus.PENDING
    with pytest.raises(ValidationError):
        SweepCreate.model_validate(body | fields)


def test_auto_start_means_running() -> None:
    body = SweepCreate(name="x", base_command="true", auto_start=True)
    assert body.beginning is SweepStatus.RUNNING


@pytest.mark.parametrize(
    ("recorded", "counts", "shown"),
    [
        ("draft", {}, "draft"),
        ("pending", {"total": 2, "ready": 2}, "pending"),
        ("running", {"total": 2, "ready": 1, "completed": 1}, "running"),
        ("running", {"total": 2, "failed": 2}, "failed"),
        ("running", {"total": 2, "failed": 1, "completed": 1}, "completed"),
        ("running", {"total": 1, "canceled": 1}, "canceled"),
        ("canceled", {"total": 2, "canceled": 1, "completed": 1}, "canceled"),
        ("canceled", {"total": 2, "running": 1, "completed": 1}, "running"),
    ],
)
def test_status_of_a_sweep_follows_from_its_runs(
    recorded: str, counts: dict[str, int], shown: str
) -> None:
    assert sweep_status(SweepStatus(recorded), RunCounts(**counts)) == shown


def test_update_names_the_fields_of_the_grid_it_changes() -> None:
    assert SweepUpdate(name="x", goal="y").grid_fields == []
    assert SweepUpdate(parameters={}, max_runs=3).grid_fields == ["parameters", "max_runs"]
