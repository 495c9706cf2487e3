"""Which configurations the baseline agent asks for, and how it divides its budget."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wildloop.blocks.agents.baseline.config import ProjectFile, runnable
from wildloop.blocks.agents.baseline.ledger import Trial
from wildloop.blocks.agents.baseline.search import (
    key_of,
    narrowed,
    random_configurations,
)
from wildloop.blocks.agents.baseline.shares import shares
from wildloop.blocks.agents.baseline.stages import command_line


def project_of(**tables: Any) -> ProjectFile:
    """A project with one parameter of each kind."""
    return ProjectFile.model_validate(
        {
            "train": {"command": "python train.py"},
            "metric": {"name": "loss", "direction": "min"},
            "baseline": {"lr": 0.5, "width": 16, "depth": 2, "drop": 0.0},
            "search": {
                "lr": {"low": 0.001, "high": 0.99999, "log": True},
                "width": {"values": [16, 32, 64]},
                "depth": {"low": 1, "high": 5, "int": True},
                "drop": {"low": 0, "high": 0.9},
            },
        }
        | tables
    )


def is_inside(configuration: dict[str, Any], project: ProjectFile) -> bool:
    """Whether every searched parameter has a value of its dimension, and there is no other."""
    return set(configuration) == set(project.search) and all(
        dimension.has(configuration[name]) for name, dimension in project.search.items()
    )


@given(
    runs=st.integers(8, 300),
    seeds=st.integers(2, 20),
    names=st.integers(1, 30),
    kept=st.integers(0, 20),
)
def test_shares_never_exceed_the_budget(runs: int, seeds: int, names: int, kept: int) -> None:
    search = {f"p{i}": {"low": 0, "high": 1} for i in range(names)}
    project = project_of(
        search=search,
        baseline=dict.fromkeys(search, 0.5),
        budget={"runs": runs, "seeds": seeds, "ablation": kept},
    )
    share = shares(project)
    parts = [share.baseline, share.broad, share.near, share.evolved, share.race, share.ablation]
    assert min(parts) >= 0
    assert min(parts[:2]) >= 1 and share.race >= 2
    assert sum(parts) == runs
    assert share.baseline >= 2, "one seed has no spread"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 12))
def test_random_configurations_are_new_and_inside(seed: int, count: int) -> None:
    project = project_of()
    found = random_configurations(project, [project.base()], count, seed)
    assert len(found) == count
    assert all(is_inside(one, project) for one in found)
    assert len({key_of(one) for one in found}) == count
    assert found == random_configurations(project, [project.base()], count, seed)


def test_random_configurations_cover_each_range() -> None:
    found = random_configurations(project_of(), [], 8, seed=1)
    assert len({int(one["drop"] / 0.9 * 8) for one in found}) == 8


def test_space_is_narrowed_to_where_the_best_lie() -> None:
    project = project_of()
    best = [
        {"lr": 0.03, "width": 32, "depth": 3, "drop": 0.4},
        {"lr": 0.01, "width": 32, "depth": 3, "drop": 0.5},
        {"lr": 0.02, "width": 64, "depth": 4, "drop": 0.45},
        {"lr": 0.9, "width": 16, "depth": 1, "drop": 0.0},
    ]
    near = narrowed(project, best).search
    assert near["width"].values == [32, 64], "the fourth is not among the best three"
    low, high = near["lr"].range
    assert 0.001 < low < 0.01 < 0.03 < high < 0.1
    low, high = near["depth"].range
    assert (low, high) == (2, 5)
    low, high = near["drop"].range
    assert low == pytest.approx(0.31) and high == pytest.approx(0.59)


def test_a_best_outside_the_space_narrows_nothing() -> None:
    project = project_of()
    outside = {"lr": 7.0, "width": 512, "depth": 9, "drop": -1.0}
    assert narrowed(project, [outside]).search == project.search


def test_an_exhausted_space_gives_fewer_configurations() -> None:
    project = project_of(search={"width": {"values": [16, 32, 64]}}, baseline={"width": 16})
    first = random_configurations(project, [project.base()], 5, seed=1)
    assert sorted(one["width"] for one in first) == [32, 64]


def test_integers_and_floats_of_one_value_are_one_configuration() -> None:
    assert key_of({"a": 1, "b": "x"}) == key_of({"b": "x", "a": 1.0})
    assert key_of({"a": True}) != key_of({"a": 1})


def test_flags_are_quoted() -> None:
    project = project_of(baseline=project_of().baseline | {"note": "a b; rm -rf ~"})
    trial = Trial(name="x", configuration={"lr": 0.1}, seed=3)
    line = command_line(project, trial)
    assert "'--note=a b; rm -rf ~'" in line
    assert line.endswith("--seed=3") and "--lr=0.1 " in line


def test_python_is_this_interpreter_only_where_there_is_none_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runnable("python train.py -x") == "python train.py -x"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr("sys.executable", "/opt/my python/bin/python3")
    assert runnable("python train.py -x") == "'/opt/my python/bin/python3' train.py -x"
    assert runnable("pythonic train.py") == "pythonic train.py"
