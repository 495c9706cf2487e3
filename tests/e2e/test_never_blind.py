"""A session whose metric is printed under no name that is known: told at once, never completed."""

import subprocess
from pathlib import Path

import pytest

from tests.support.server import Server

pytestmark = pytest.mark.e2e

TOML = """
[train]
command = "python train.py"
gpus = 0

[metric]
name = "val_accuracy"

[search.lr]
values = [0.1, 0.2, 0.3]

[baseline]
lr = 0.1

[budget]
runs = 12
"""
SCRIPT = "import sys\nprint('epoch 1 f_measure: 0.5 loss: 0.3')\n"


def test_a_search_whose_baseline_has_no_value_stops_and_says_why(
    server: Server, repository: Path
) -> None:
    (repository / "wildloop.toml").write_text(TOML)
    (repository / "train.py").write_text(SCRIPT)
    for words in (
        ["add", "-A"],
        ["-c", "user.name=T", "-c", "user.email=t@t", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", "-C", str(repository), *words], check=True)
    session = server.session_ended(server.start(repository, "baseline", max_iterations=8))
    assert session["status"] == "failed"
    assert "val_accuracy not found; seen: f_measure, loss (run.log)" in session["error"]
    assert session["unmeasured"].startswith("val_accuracy not found")
    assert session["runs"]["total"] <= 3, "only the baseline's"
    alerts = server.get("/alerts", session_id=session["session_id"])
    told = [one for one in alerts if one["session_id"] == session["session_id"]]
    assert [one["kind"] for one in told] == ["no_metric"]
