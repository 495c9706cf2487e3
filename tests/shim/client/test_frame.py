"""Runs as a table."""

import importlib.util
import sys

import pytest

from wildloop import ClientError
from wildloop.flows.models.run import Run, RunStatus
from wildloop.shim.client.frame import Library, rows, to_frame


def run(number: int, **fields: object) -> Run:
    return Run.model_validate(
        {
            "id": f"run-{number}",
            "name": f"lr {number}",
            "command": "python train.py",
            "workdir": "/project",
            "status": RunStatus.FINISHED,
            "created_at": 1.0,
            "run_dir": "/project/.wild/runs/x",
            **fields,
        }
    )


RUNS = [
    run(1, parameters={"lr": 0.1}),
    run(2, parameters={"lr": 0.2}, metrics={"score": 0.5}, started_at=2.0, finished_at=5.5),
]


def test_every_row_has_a_column_for_every_parameter_and_metric() -> None:
    first, second = rows(RUNS)
    assert list(first) == list(second)
    assert (first["parameters.lr"], first["metrics.score"]) == (0.1, None)
    assert (second["metrics.score"], second["duration_seconds"]) == (0.5, 3.5)


def test_no_runs_are_an_empty_table() -> None:
    assert rows([]) == []


def test_without_a_library_one_line_says_which_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ClientError, match="pandas or polars"):
        to_frame(RUNS)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_has_a_row_a_run(library: Library) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    frame = to_frame(RUNS, library)
    assert frame.shape[0] == 2
    assert list(frame["parameters.lr"]) == [0.1, 0.2]
