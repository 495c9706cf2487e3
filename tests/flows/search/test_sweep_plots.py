"""A sweep's pictures."""

from pathlib import Path
from typing import Any

import pytest

from wildloop.flows.models.evo import EvoSweepSpec, Failure
from wildloop.flows.search.plots import draw_sweep_plots, importances
from wildloop.flows.search.study import Study


def study_of(space: dict[str, Any], metric: str = "acc") -> Study:
    return Study(
        EvoSweepSpec.model_validate(
            {
                "target_script": "train.py",
                "fitness_metric": metric,
                "search_space": space,
                "generations": 5,
            }
        )
    )


def told(study: Study, count: int, parameter: str) -> Study:
    while len(study.trials) < count:
        for trial in study.ask(min(4, count - len(study.trials))):
            study.tell(trial.number, float(str(trial.parameters[parameter])))
    return study


FULL = {
    "x": {"low": 0.0, "high": 1.0},
    "y": {"low": 1e-5, "high": 1.0, "log": True},
    "n": {"low": 1, "high": 9, "int": True},
    "a": ["relu", "$t_{anh", None, [1, 2], "a very long name of an activation function"],
}


def test_a_sweep_gets_history_parallel_coordinates_and_importance(tmp_path: Path) -> None:
    study = told(study_of(FULL, "acc $x_{"), 12, "x")
    study.tell(study.ask()[0].number, Failure(reason="crash"))
    study.tell(study.ask()[0].number, 0.1, pruned=True)
    drawn = draw_sweep_plots(tmp_path / "new", study.spec, study.trials)
    names = ["history.png", "parallel_coordinates.png", "importance.png"]
    assert [path.name for path in drawn] == names
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_nothing_is_drawn_while_nothing_has_finished(tmp_path: Path) -> None:
    study = study_of({"x": {"low": 0.0, "high": 1.0}})
    study.tell(study.ask(4)[0].number, Failure(reason="crash"))
    assert draw_sweep_plots(tmp_path / "plots", study.spec, study.trials) == []
    assert not (tmp_path / "plots").exists()


def test_one_trial_and_one_dimension_are_drawn(tmp_path: Path) -> None:
    study = study_of({"x": [3]})
    study.tell(study.ask()[0].number, 0.5)
    assert len(draw_sweep_plots(tmp_path, study.spec, study.trials)) == 2


def test_the_dimension_that_decides_is_the_most_important() -> None:
    space = {name: {"low": 0.0, "high": 1.0} for name in ("other", "x", "third")}
    study = told(study_of(space), 20, "x")
    found = importances(study.spec, study.trials)
    assert next(iter(found)) == "x"
    assert sum(found.values()) == pytest.approx(1.0)


def test_equal_values_and_few_trials_have_no_importance() -> None:
    study = study_of({"x": {"low": 0.0, "high": 1.0}, "y": [1, 2]})
    for trial in study.ask(4):
        study.tell(trial.number, 0.5)
    assert importances(study.spec, study.trials) == {}
    assert importances(study.spec, study.trials[:3]) == {}
