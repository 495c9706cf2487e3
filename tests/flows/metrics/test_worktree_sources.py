"""Tracker files of a run that worked in a git worktree."""

from pathlib import Path

from wildloop.flows.files.manifest import Manifest, busy_reason, snapshot_of
from wildloop.flows.metrics.owner import term_of
from wildloop.flows.metrics.sources import find_sources


def manifest_in(run_dir: Path, **fields: object) -> None:
    run_dir.mkdir(parents=True)
    known = {
        "run_id": run_dir.name,
        "name": "r",
        "command": "true",
        "workdir": str(run_dir.parents[2]),
        "host": "h",
        "python": "3",
        "platform": "p",
        "started_at": 1000.0,
        "finished_at": 2000.0,
    }
    made = Manifest.model_validate(known | fields)
    (run_dir / "manifest.json").write_text(made.model_dump_json())


def test_files_in_the_worktree_are_found_and_those_of_the_project_are_not(tmp_path: Path) -> None:
    run_dir, worktree = tmp_path / ".wild/runs/r1", tmp_path / ".wild/worktrees/abc"
    manifest_in(run_dir, worktree=str(worktree), snapshot="abc")
    name = "events.out.tfevents.0000001500.h.1.0"
    for folder in (worktree / "logs", tmp_path / "logs"):
        folder.mkdir(parents=True)
        (folder / name).write_bytes(b"")
    run = term_of(run_dir)
    assert run is not None
    found = find_sources(run, tmp_path)
    assert [located.path for located in found.located] == [worktree / "logs" / name]
    assert snapshot_of(run_dir) == "abc"


def test_a_busy_machine_is_told_by_the_manifest(tmp_path: Path) -> None:
    quiet, loaded, shared = (tmp_path / ".wild/runs" / name for name in ("q", "l", "s"))
    manifest_in(quiet, load_at_start=0.4, load_at_end=1.2)
    manifest_in(loaded, load_at_start=0.4, load_at_end=3.2)
    manifest_in(shared, shared_devices=["0: python"])
    assert busy_reason(quiet) is None and busy_reason(tmp_path / "none") is None
    assert busy_reason(loaded) == "load 3.2 for each core of h"
    assert "0: python" in (busy_reason(shared) or "")
