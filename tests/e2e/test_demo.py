"""The main job: `wildloop demo`, as a newcomer runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import git
from tests.support.server import command_environment

pytestmark = pytest.mark.e2e


def test_demo_beats_the_baseline_and_leaves_a_report(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "shim.cli.main", "demo", "--keep", "my demo"],
        cwd=tmp_path,
        env=command_environment(tmp_path / "unused home"),
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    project = tmp_path / "my demo" / "digits"
    session = next((project / ".wild" / "sessions").iterdir())
    report = (session / "report.md").read_text(encoding="utf-8")
    assert "Best run against baseline run: +" in report
    for picture in ("progress.png", "learning_curves.png"):
        assert (session / "plots" / picture).read_bytes().startswith(b"\x89PNG")
    subjects = git(project, "log", "--format=%s").splitlines()
    for iteration in range(1, 11):
        assert any(f"iteration-{iteration:02d}" in subject for subject in subjects), iteration
    runs = list((project / ".wild" / "runs").glob("*/manifest.json"))
    manifests = [json.loads(path.read_text()) for path in runs]
    finished = [one for one in manifests if one["exit_code"] == 0]
    assert len(finished) >= 12
    moments = sorted(one["started_at"] for one in finished)
    for moment in moments:
        held = [one for one in finished if one["started_at"] <= moment < one["finished_at"]]
        assert len(held) <= 2
    assert "[P4-T2] Ablation" in (session / "tasks.md").read_text(encoding="utf-8")
    assert "result " in done.stdout
    assert not (tmp_path / "unused home").exists()
