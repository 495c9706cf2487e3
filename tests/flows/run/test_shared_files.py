"""Outputs of runs that overlap in one folder."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.records import made_run
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.texts import notes
from wildloop.flows.files.manifest import Manifest, save_manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.project import MetricConfig
from wildloop.flows.run.shared_files import shared_files

NOW = time.time()


def made(project: Path, lr: int, **fields: Any) -> RunPaths:
    """A run that began 100 s ago and goes on, or else as the fields say."""
    paths = RunPaths.of(project, f"0000-{lr}")
    paths.root.mkdir(parents=True)
    known = {
        "run_id": paths.root.name,
        "name": "try",
        "command": f"python3 t.py --lr {lr}",
        "workdir": str(project),
        "host": "h",
        "python": "3",
        "platform": "p",
        "started_at": NOW - 100,
    }
    save_manifest(paths, Manifest.model_validate(known | fields))
    return paths


def written(workdir: Path, name: str, ago: float = 50) -> None:
    path = workdir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (NOW - ago, NOW - ago))


@pytest.mark.parametrize("name", ["checkpoints/best.json", "best.pkl", "ckpt/last.pt"])
def test_checkpoint_of_overlapping_runs_is_named(tmp_path: Path, name: str) -> None:
    one, two = made(tmp_path, 1), made(tmp_path, 2, finished_at=NOW)
    written(tmp_path, name)
    assert shared_files(one, tmp_path) == shared_files(two, tmp_path) == [name]


@pytest.mark.parametrize(
    "name",
    [
        "train.py", "config.yaml", "notes.md", "train.log",
        "outputs/2026-11-29/19-56-45/best.pt", "lightning_logs/version_3/best.ckpt",
        "outputs/0000-1/best.pt", "outputs/lr=1/best.pt", "best-1.pt", ".cache/best.pt",
        "events.out.tfevents.1700000000.h.1.0",
    ],
)  # fmt: skip
def test_what_tells_whose_it_is_or_is_no_output_is_not(tmp_path: Path, name: str) -> None:
    one = made(tmp_path, 1)
    made(tmp_path, 2)
    written(tmp_path, name)
    assert shared_files(one, tmp_path) == []


@pytest.mark.parametrize(
    "other",
    [
        {"command": "python3 other.py"},
        {"worktree": "/elsewhere"},
        {"workdir": "/elsewhere"},
        {"started_at": NOW - 300, "finished_at": NOW - 200},
        {"started_at": NOW - 20},
    ],
)
def test_what_another_run_cannot_have_written_is_not(tmp_path: Path, other: dict[str, Any]) -> None:
    one = made(tmp_path, 1)
    made(tmp_path, 2, **other)
    written(tmp_path, "checkpoints/best.json")
    assert shared_files(one, tmp_path) == []


def test_isolated_run_shares_nothing(tmp_path: Path) -> None:
    one = made(tmp_path, 1, worktree=str(tmp_path / "tree"))
    made(tmp_path, 2)
    written(tmp_path, "checkpoints/best.json")
    assert shared_files(one, tmp_path) == []


def test_shared_files_are_told_once_for_all_runs() -> None:
    runs = [made_run(n, 0.3).model_copy(update={"shared_files": ["best.json"]}) for n in range(5)]
    told = notes(Account(runs, Contract(MetricConfig(name="score"))))
    assert len(told) == 1
    assert "and 2 more ran beside others" in told[0] and "(best.json)" in told[0]
