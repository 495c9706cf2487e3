"""The files that loggers leave in the working directory, and what is taken for the metric."""

import json
import os
import time
from pathlib import Path

import pytest

from wildloop.flows.metrics import RunMetrics, SourceKind, read_all
from wildloop.flows.metrics.one_file import read_path

LIGHTNING = "epoch,step,train_loss,val_acc\n0,10,0.9,\n0,10,,0.5\n1,20,0.4,\n1,20,,0.91\n"
KERAS = "epoch,accuracy,loss,val_accuracy,val_loss\n0,.5,.9,.6,.8\n1,.8,.5,.91,.3\n"
ULTRALYTICS = (
    "                  epoch,         time,    train/box_loss, metrics/mAP50-95(B)\n"
    "                      1,            3,               1.1,                  .3\n"
    "                      2,            6,                .9,                 .91\n"
)
STATE = {
    "best_metric": 0.91,
    "global_step": 20,
    "log_history": [
        {"epoch": 1.0, "step": 10, "loss": 0.5},
        {"epoch": 1.0, "step": 10, "eval_accuracy": 0.8},
        {"epoch": 2.0, "step": 20, "eval_accuracy": 0.91},
    ],
}


def project(workdir: Path, metric: str) -> Path:
    workdir.mkdir(parents=True, exist_ok=True)
    (workdir / "wildloop.toml").write_text(f'[metric]\nname = "{metric}"\n')
    return workdir


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def measured(
    tmp_path: Path, metric: str = "val_acc", files: dict[str, str] | None = None
) -> RunMetrics:
    """A run that wrote these files below its project and this log."""
    workdir = project(tmp_path / "project", metric)
    run_dir = workdir / ".wild" / "runs" / "run-1"
    run_dir.mkdir(parents=True)
    started = time.time() - 1
    for name, text in (files or {}).items():
        write((run_dir if name in ("run.log", "metrics.jsonl") else workdir) / name, text)
    return read_all(run_dir, workdir, started, time.time())


def curve(metrics: RunMetrics, name: str) -> list[tuple[float | None, float | None]]:
    return [(point.step, point.value) for point in metrics.series[name]]


@pytest.mark.parametrize(
    ("name", "text", "metric", "points"),
    [
        ("lightning_logs/version_0/metrics.csv", LIGHTNING, "val_acc", [(10, 0.5), (20, 0.91)]),
        ("training.log", KERAS, "val_accuracy", [(0, 0.6), (1, 0.91)]),
        ("runs/detect/train/results.csv", ULTRALYTICS, "mAP50-95", [(1, 0.3), (2, 0.91)]),
        ("out/metrics.csv", "step;f1\n1;0.5\n2;0.91", "f1", [(1, 0.5), (2, 0.91)]),
        (
            "output/checkpoint-20/trainer_state.json",
            json.dumps(STATE),
            "eval_accuracy",
            [(10, 0.8), (20, 0.91)],
        ),
        ("all_results.json", '{"eval_accuracy": 0.91, "seed": 3}', "eval_accuracy", [(None, 0.91)]),
        (
            "history.json".replace("history", "metrics"),
            '[{"epoch": 1, "val_acc": 0.8}, {"epoch": 2, "val_acc": 0.91}]',
            "val_acc",
            [(1, 0.8), (2, 0.91)],
        ),
    ],
)
def test_a_loggers_file_gives_name_value_and_step(
    tmp_path: Path, name: str, text: str, metric: str, points: list[tuple[float, float]]
) -> None:
    metrics = measured(tmp_path, metric, {name: text})
    assert curve(metrics, metric) == points
    assert metrics.last[metric] == 0.91
    assert metrics.origins[metric].endswith(name)


def test_hydras_log_is_read_in_its_folder(tmp_path: Path) -> None:
    folder = "outputs/2026-11-29/05-00-00"
    metrics = measured(
        tmp_path,
        files={
            f"{folder}/.hydra/overrides.yaml": "- lr=0.1\n",
            f"{folder}/train.log": "[2026-11-29 05:00:00,123][__main__][INFO] - val_acc: 0.91\n",
            "other/notes.log": "val_acc: 0.1\n",
        },
    )
    assert metrics.last == {"val_acc": 0.91}


def test_what_was_there_before_the_run_is_not_its(tmp_path: Path) -> None:
    workdir = project(tmp_path, "val_acc")
    write(workdir / "results.csv", "epoch,val_acc\n1,0.99\n")
    os.utime(workdir / "results.csv", (time.time() - 60, time.time() - 60))
    (workdir / ".wild" / "runs" / "r").mkdir(parents=True)
    assert read_all(workdir / ".wild" / "runs" / "r", workdir, time.time(), None).last == {}


def test_a_column_that_comes_later_is_read_too(tmp_path: Path) -> None:
    from wildloop.flows.metrics.tabular import TableReader

    path = tmp_path / "metrics.csv"
    path.write_text("epoch,loss\n0,0.5\n")
    reader = TableReader(path)
    assert [one.name for one in reader.read()] == ["loss"]
    path.write_text("epoch,loss,val_acc\n0,0.5,\n1,0.4,0.9\n")
    assert [(one.name, one.value) for one in reader.read()] == [
        ("loss", 0.5),
        ("loss", 0.4),
        ("val_acc", 0.9),
    ]
    assert reader.restarts == 1


@pytest.mark.parametrize(
    "text",
    ["id,label\n1,0.5\n", "0.5,0.3\n0.4,0.2\n", "text\nmore\n", "a,b,c\nx,y,z\n", ""],
)
def test_a_table_that_is_no_loggers_gives_nothing(tmp_path: Path, text: str) -> None:
    assert measured(tmp_path, files={"results.csv": text}).last == {}


def test_what_is_reported_outranks_files_and_these_the_log(tmp_path: Path) -> None:
    files = {
        "metrics.jsonl": '{"step": 1, "val_acc": 0.7}\n',
        "metrics.csv": "step,val_acc\n1,0.8\n",
        "run.log": "val_acc: 0.9\n",
    }
    assert measured(tmp_path / "a", files=files).last["val_acc"] == 0.7
    del files["metrics.jsonl"]
    assert measured(tmp_path / "b", files=files).last["val_acc"] == 0.8
    del files["metrics.csv"]
    assert measured(tmp_path / "c", files=files).last["val_acc"] == 0.9


def test_the_log_is_asked_where_the_files_lack_the_metric(tmp_path: Path) -> None:
    metrics = measured(
        tmp_path,
        "val_accuracy",
        {"metrics.jsonl": '{"step": 1, "loss": 0.7}\n', "run.log": "epoch 3 val_acc: 0.91\n"},
    )
    assert metrics.last == {"loss": 0.7, "val_acc": 0.91, "val_accuracy": 0.91}
    assert curve(metrics, "val_accuracy") == [(3, 0.91)]
    (taken,) = metrics.taken
    assert (taken.wanted, taken.found, Path(taken.source).name) == (
        "val_accuracy",
        "val_acc",
        "run.log",
    )


def test_a_metric_that_is_not_there_is_told_with_what_might_be_meant(tmp_path: Path) -> None:
    metrics = measured(
        tmp_path, "accuracy", {"run.log": "val_accuracy: 0.9, test_accuracy: 0.8, loss: 1.0\n"}
    )
    (taken,) = metrics.taken
    assert (taken.found, taken.others) == (None, ["val_accuracy", "test_accuracy"])
    assert "accuracy" not in metrics.last


def test_the_projects_pattern_is_read_in_the_log(tmp_path: Path) -> None:
    workdir = project(tmp_path, "quality")
    (workdir / "wildloop.toml").write_text(
        "[metric]\nname = 'quality'\npattern = 'came out at ([0-9.]+)'\n"
    )
    run_dir = workdir / ".wild" / "runs" / "r"
    write(run_dir / "run.log", "it came out at 0.7 in all\n")
    assert read_all(run_dir, workdir, time.time() - 1, time.time()).last == {"quality": 0.7}


def test_a_run_that_goes_on_keeps_its_last_line_until_it_is_whole(tmp_path: Path) -> None:
    from wildloop.flows.metrics import MetricsFollower

    write(tmp_path / "run.log", "epoch 1 loss: 0.5\nepoch 2 loss: 0.")
    follower = MetricsFollower(tmp_path, None)
    assert follower.read(time.time()).last == {"loss": 0.5}
    with (tmp_path / "run.log").open("a") as file:
        file.write("25")
    assert follower.read(time.time(), time.time()).last == {"loss": 0.25}


def test_of_very_many_names_the_wanted_one_is_kept_and_the_cut_is_said(tmp_path: Path) -> None:
    names = {f"name_{number}": number for number in range(5_000)}
    metrics = measured(
        tmp_path, "val_acc", {"metrics.jsonl": json.dumps({**names, "val/acc": 0.91}) + "\n"}
    )
    assert metrics.last["val_acc"] == 0.91
    assert len(metrics.series) == 2_002
    assert "3000 metrics beyond the first 2000" in metrics.notes[0]
    assert metrics.sources[0].kind is SourceKind.JSONL


def test_of_a_folder_the_trainers_state_is_believed_before_its_results(tmp_path: Path) -> None:
    """As of a run: its curve is not cut to the one value of all_results.json."""
    (tmp_path / "checkpoint-2").mkdir()
    history = [{"step": step, "eval_loss": 1 / step} for step in (1, 2)]
    state = tmp_path / "checkpoint-2" / "trainer_state.json"
    state.write_text(json.dumps({"log_history": history}))
    (tmp_path / "all_results.json").write_text('{"eval_loss": 0.5, "epoch": 2.0}')
    points = read_path(tmp_path).series["eval_loss"]
    assert [(point.step, point.value) for point in points] == [(1, 1.0), (2, 0.5)]
