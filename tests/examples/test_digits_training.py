"""The digits example's training script, run for real."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.pace import patient
from wildloop.blocks.agents.baseline.config import read_project
from wildloop.flows.metrics import run_metrics
from wildloop.flows.project import load_project

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"


def train(
    folder: Path, *flags: str, run_dir: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run train.py in `folder`."""
    env = {name: value for name, value in os.environ.items() if name != "WILDLOOP_RUN_DIR"}
    return subprocess.run(
        [sys.executable, str(DIGITS / "train.py"), *flags],
        cwd=folder,
        env=env | ({"WILDLOOP_RUN_DIR": str(run_dir)} if run_dir else {}),
        capture_output=True,
        text=True,
        timeout=patient(120),
    )


def test_a_run_records_every_epoch_and_ends_with_its_metric(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    done = train(tmp_path, "--epochs=3", run_dir=run_dir)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert all(set(line) == {"step", "train_loss", "val_accuracy"} for line in lines)
    last = lines[-1]["val_accuracy"]
    assert done.stdout.splitlines()[-1] == f"val_accuracy: {last:.6f}"
    assert run_metrics(run_dir)["val_accuracy"] == last
    assert not (tmp_path / "metrics.jsonl").exists()


def test_under_wildloop_metrics_are_appended_by_hand_they_begin_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0, "note": 1.0}\n')
    train(tmp_path, "--epochs=1", run_dir=tmp_path)
    assert len(path.read_text().splitlines()) == 2
    train(tmp_path, "--epochs=1")
    assert len(path.read_text().splitlines()) == 1


def test_the_same_seed_gives_the_same_result_and_another_seed_another(tmp_path: Path) -> None:
    outputs = [train(tmp_path, "--epochs=2", f"--seed={seed}").stdout for seed in (1, 1, 2)]
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.parametrize("flag", ["--lr=inf", "--lr=1e9"])
def test_divergence_is_said_and_fails(tmp_path: Path, flag: str) -> None:
    done = train(tmp_path, flag)
    assert done.returncode == 3
    assert "diverged in epoch 1" in done.stdout
    assert "val_accuracy:" not in done.stdout
    assert run_metrics(tmp_path).keys() <= {"train_loss"}


@pytest.mark.parametrize(
    "flag",
    [
        "--lr=0",
        "--lr=nan",
        "--lr=fast",
        "--hidden=0",
        "--hidden=1.5",
        "--epochs=0",
        "--batch-size=0",
        "--momentum=1",
        "--momentum=nan",
        "--weight-decay=-1",
        "--weight-decay=inf",
        "--seed=-1",
        "--unknown=1",
    ],
)
def test_a_bad_flag_is_named_and_nothing_is_trained(tmp_path: Path, flag: str) -> None:
    done = train(tmp_path, flag)
    assert done.returncode == 2
    assert flag.split("=")[0] in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "metrics.jsonl").exists()


def test_wildloop_toml_is_read_by_wildloop_and_by_the_agent() -> None:
    project, agent = load_project(DIGITS), read_project(DIGITS)
    assert project is not None and project.metric is not None
    assert project.metric.name == agent.metric.name == "val_accuracy"
    assert set(agent.search) <= set(agent.baseline)


def test_the_declared_baseline_is_what_train_py_does_by_default(tmp_path: Path) -> None:
    tables = tomllib.loads((DIGITS / "wildloop.toml").read_text())
    flags = [f"--{name}={value}" for name, value in tables["baseline"].items()]
    plain = train(tmp_path).stdout
    assert train(tmp_path, *flags).stdout == plain
    assert 0.85 < float(plain.split()[-1]) < 0.95
