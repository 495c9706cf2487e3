"""Trackio's databases are read back with the right values."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from wildloop.flows.metrics import MetricsFollower, SourceKind, read_all
from wildloop.flows.metrics.one_file import read_path

# As trackio 0.43 makes it; versions before 0.20 have no `run_id`, which is not read.
TABLE = (
    "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, timestamp "
    "TEXT NOT NULL, run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL)"
)
REAL = """
import trackio
trackio.init(project="p", name="first", config={"lr": 0.1})
for step in range(3):
    trackio.log({"train/loss": 1 / (step + 1), "val": {"acc": step / 4}, "note": "hi"})
trackio.log({"train/loss": float("nan")}, step=10)
trackio.finish()
"""


class Database:
    """A database as Trackio writes it."""

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / "trackio" / "p.db"
        self.path.parent.mkdir(parents=True)
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(TABLE)

    def log(self, run: str, step: int, told: bytes) -> None:
        row = ("f" * 32, f"2026-11-29T23:28:5{step % 10}.601829+00:00", run, step, told)
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute(
                "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) "
                "VALUES (?, ?, ?, ?, ?)",
                row,
            )


def test_values_steps_and_times_are_read_back(tmp_path: Path) -> None:
    database = Database(tmp_path)
    database.log("a", 0, b'{"train/loss":1.0,"val":{"acc":0.5},"note":"hi","ok":true}')
    database.log("a", 3, b'{"train/loss":"NaN","pic":{"_type":"trackio.image","size":3}}')
    database.log("a", 4, b'{"train/loss"')
    found = read_all(tmp_path)
    assert {name: [(p.step, p.value) for p in found.series[name]] for name in found.series} == {
        "train/loss": [(0, 1.0), (3, None)],
        "val/acc": [(0, 0.5)],
    }
    assert found.series["val/acc"][0].time == pytest.approx(1795994930.601829, abs=1e-3)
    assert found.broken == 1
    assert [one.kind for one in found.sources] == [SourceKind.TRACKIO]
    assert read_path(database.path).series.keys() == found.series.keys()


def test_reading_goes_on_where_it_stopped_and_tells_runs_apart(tmp_path: Path) -> None:
    database = Database(tmp_path)
    follower = MetricsFollower(tmp_path, search_seconds=0)
    database.log("a", 0, b'{"loss":1.0}')
    assert [one.value for one in follower.read().series["loss"]] == [1.0]
    database.log("a", 1, b'{"loss":0.5}')
    assert [one.value for one in follower.read().series["loss"]] == [1.0, 0.5]
    database.log("b", 0, b'{"loss":9.0}')
    found = follower.read().series
    assert {name: [one.value for one in found[name]] for name in found} == {
        "a/loss": [1.0, 0.5],
        "b/loss": [9.0],
    }


@pytest.mark.parametrize("kind", ["text", "view", "link", "other"])
def test_what_is_no_database_of_trackio_has_no_metrics(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "run" / "trackio" / "p.db"
    path.parent.mkdir(parents=True)
    if kind == "text":
        path.write_text("val_acc: 0.9\n")
    elif kind == "link":
        (tmp_path / "else").mkdir()
        path.symlink_to(Database(tmp_path / "else").path)
    else:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE other (x)")
            if kind == "view":
                database.execute("CREATE VIEW metrics AS SELECT 1 AS id, 'a' AS run_name")
    assert read_all(tmp_path / "run").series == {}


def test_what_trackio_itself_writes_is_read_back(tmp_path: Path) -> None:
    python = os.environ.get("WILDLOOP_TEST_TRACKIO_PYTHON")
    if python is None:
        pytest.importorskip("trackio", reason="trackio is not installed")
    subprocess.run(
        [python or sys.executable, "-c", REAL],
        env=os.environ | {"TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1"},
        check=True,
        timeout=120,
        capture_output=True,
    )
    found = read_all(tmp_path)
    assert [(one.step, one.value) for one in found.series["val/acc"]] == [
        (0, 0),
        (1, 0.25),
        (2, 0.5),
    ]
    assert [one.value for one in found.series["train/loss"]] == [1, 0.5, 1 / 3, None]
    assert json.dumps(found.diverged) == '["train/loss"]'
