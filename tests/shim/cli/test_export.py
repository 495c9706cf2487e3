"""What `wildloop export` writes, read back with the libraries that it is written for."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from wildloop.flows.metrics.one_file import read_path
from wildloop.flows.models.run import MetricPoint, Run, RunStatus
from wildloop.shim.cli.export.command import Format, write
from wildloop.shim.cli.export.gathered import ExportedRun
from wildloop.shim.client.errors import ClientError

EPOCHS = (0.5, 1.0, 1.5)
LOSSES = (0.9, 0.7, None)


def exported(name: str, level: str, **fields: Any) -> ExportedRun:
    """A run with a series over whole steps and one over halves of epochs, which diverges."""
    run = Run.model_validate(
        {
            "id": f"{name:0<8}-1111-4222-8333-444444444444",
            "name": name,
            "command": "python train.py --lr 0.1",
            "workdir": "/tmp/p",
            "status": RunStatus.FINISHED,
            "chat_session_id": "s1",
            "created_at": 1_790_000_000.0,
            "started_at": 1_790_000_001.0,
            "finished_at": 1_790_000_060.0,
            "exit_code": 0,
            "parameters": {"lr": 0.1, "layers": [8, 8]},
            "seed": 3,
            "run_dir": "/tmp/r",
            "git_commit": "abc1234",
            "metrics": {"mAP@0.5": 0.81},
        }
        | fields
    )
    points = [(10, 0.5), (20, 0.81)]
    series = {
        "mAP@0.5": [
            MetricPoint(name="mAP@0.5", value=value, step=step, time=1_790_000_000.0 + step)
            for step, value in points
        ],
        "loss": [
            MetricPoint(name="loss", value=value, step=step)
            for step, value in zip(EPOCHS, LOSSES, strict=True)
        ],
    }
    return ExportedRun(run, series, level)


RUNS = [
    exported("baseline", "measured"),
    exported("wide/1", "confirmed", id="bbbbbbbb-1111-4222-8333-444444444444"),
]


def test_tables_have_a_row_a_run_with_its_level_and_a_row_a_value(tmp_path: Path) -> None:
    write(Format.CSV, RUNS, tmp_path, None, "p")
    with (tmp_path / "runs.csv").open(newline="") as file:
        runs = list(csv.DictReader(file))
    assert [(row["name"], row["level"], row["parameters.lr"], row["seed"]) for row in runs] == [
        ("baseline", "measured", "0.1", "3"),
        ("wide/1", "confirmed", "0.1", "3"),
    ]
    with (tmp_path / "series.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] == "baseline"]
    assert [(row["metric"], row["step"], row["value"]) for row in rows] == [
        ("mAP@0.5", "10.0", "0.5"),
        ("mAP@0.5", "20.0", "0.81"),
        ("loss", "0.5", "0.9"),
        ("loss", "1.0", "0.7"),
        ("loss", "1.5", ""),
    ]


def test_no_runs_are_tables_with_a_header(tmp_path: Path) -> None:
    write(Format.CSV, [], tmp_path, None, "p")
    assert (tmp_path / "runs.csv").read_text().strip() == "run"


def test_parquet_has_the_same_tables(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    write(Format.PARQUET, RUNS, tmp_path, None, "p")
    assert polars.read_parquet(tmp_path / "runs.parquet")["level"].to_list() == [
        "measured",
        "confirmed",
    ]
    assert len(polars.read_parquet(tmp_path / "series.parquet")) == 10


def test_mlflow_has_the_runs_once_however_often_they_are_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "store").as_uri()
    for _ in range(2):
        said = write(Format.MLFLOW, RUNS, tmp_path, uri, "wildloop-p")
    assert said == [f"{uri} (experiment 'wildloop-p', 2 runs)"]
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("wildloop-p")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"baseline", "wide/1"}
    wide = runs["wide/1"]
    assert wide.data.params == {"lr": "0.1", "layers": "[8, 8]", "seed": "3"}
    assert wide.data.tags["wildloop.level"] == "confirmed"
    assert wide.data.tags["mlflow.source.git.commit"] == "abc1234"
    assert (wide.info.status, wide.info.end_time) == ("FINISHED", 1_790_000_060_000)
    history = client.get_metric_history(wide.info.run_id, "mAP_0.5")
    assert [(one.step, one.value, one.timestamp) for one in history] == [
        (10, 0.5, 1_790_000_010_000),
        (20, 0.81, 1_790_000_020_000),
    ]
    losses = client.get_metric_history(wide.info.run_id, "loss")
    assert [(one.step, str(one.value)) for one in losses] == [(0, "0.9"), (1, "0.7"), (2, "nan")]


def test_wandb_has_an_offline_run_each_and_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / name))
    write(Format.WANDB, RUNS[:1], tmp_path, None, "wildloop-p")
    (file,) = (tmp_path / "wandb").glob(f"offline-run-*/run-{RUNS[0].run.id}.wandb")
    found = read_path(file)
    assert [(one.step, one.value) for one in found.series["mAP@0.5"]] == [(3, 0.5), (4, 0.81)]
    assert [one.value for one in found.series["step"]] == [0.5, 1.0, 1.5, 10.0, 20.0]
    assert [one.value for one in found.series["loss"]] == [0.9, 0.7, None]


def test_tensorboard_has_the_series_and_hyperparameters_of_each_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
    tensorboard = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard, which reads it back, is not installed",
    )
    for _ in range(2):
        write(Format.TENSORBOARD, RUNS, tmp_path, None, "p")
    folders = sorted(path.name for path in (tmp_path / "tensorboard").iterdir())
    assert folders == ["baseline-baseline", "wide-1-bbbbbbbb"]
    events = tensorboard.EventAccumulator(str(tmp_path / "tensorboard" / "wide-1-bbbbbbbb"))
    events.Reload()
    assert [(one.step, round(one.value, 6)) for one in events.Scalars("mAP@0.5")] == [
        (10, 0.5),
        (20, 0.81),
    ]
    start = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"confirmed" in start and b"layers" in start
    note = json.loads(events.Tensors("wildloop/text_summary")[0].tensor_proto.string_val[0])
    assert note["git_commit"] == "abc1234"


@pytest.mark.parametrize(
    ("format", "module"),
    [(Format.MLFLOW, "mlflow"), (Format.WANDB, "wandb"), (Format.TENSORBOARD, "tensorboardX")],
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: Format, module: str
) -> None:
    # None stands for a module that cannot be imported.
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ClientError, match=rf"pip install 'wildloop\[{format}\]'"):
        write(format, RUNS, tmp_path, None, "p")
