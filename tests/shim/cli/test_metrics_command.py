"""`wildloop metrics FILE`, which needs no server."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wildloop.shim.cli.main import application


def run(*arguments: str) -> str:
    done = CliRunner().invoke(application(), ["metrics", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "train.out"
    path.write_text("port: 29500\nepoch 1 val_acc: 80%\nepoch 2 val_acc: 91%\nscored 7 of ten\n")
    return path


def test_what_was_seen_where_and_what_was_taken_for_what(log: Path) -> None:
    (log.parent / "wildloop.toml").write_text("[metric]\nname = 'val_accuracy'\n")
    told = run(str(log))
    assert "91%" in told and "1 to 2" in told and "train.out" in told
    assert "val_accuracy is taken from 'val_acc' (train.out)" in told
    assert "port" not in told


def test_a_pattern_is_tried_before_it_is_written_down(log: Path) -> None:
    told = json.loads(run(str(log), "--name", "s", "--pattern", r"scored (\d+)", "--json"))
    assert told["last"]["s"] == 7


def test_what_was_not_found_is_said_with_the_mend(log: Path) -> None:
    told = run(str(log), "--name", "f1")
    assert "f1 not found; seen: val_acc (train.out)" in told


def test_the_files_of_a_folder_are_shown_together(log: Path) -> None:
    (log.parent / "out").mkdir()
    (log.parent / "out" / "results.csv").write_text("epoch,f1\n1,0.5\n2,0.6\n")
    assert "out/results.csv" in run(str(log.parent))
