"""What the Prefect page of a run tells, and that it stays small."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_UI_URL, temporary_settings

from wildloop.flows.files.manifest import EnvironmentNote, Manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.metrics import RunMetrics, TakenMetric
from wildloop.flows.models.run import MetricPoint, RunFacts, RunSpec
from wildloop.flows.project import ProjectConfig
from wildloop.flows.run.artifact import Ended, run_text, titled
from wildloop.flows.run.execution import Outcome

SESSION = "79705ef0-adc5-46b6-a0e4-d11de486d709"
PATCH = """diff --git a/train.py b/train.py
index 1..2 100644
--- a/train.py
+++ b/train.py
@@ -1,2 +1,3 @@
-old
+new
+newer
"""


def measured(points: int = 5, names: int = 1) -> RunMetrics:
    series = {
        f"m{n}": [MetricPoint(name=f"m{n}", value=i / points, step=i) for i in range(points)]
        for n in range(names)
    }
    last = {name: found[-1].value or 0.0 for name, found in series.items()}
    taken = [TakenMetric(wanted="score", found="m0")]
    return RunMetrics(series=series, last=last, lowest=last, highest=last, taken=taken)


@pytest.fixture
def ended(tmp_path: Path) -> Ended:
    paths = RunPaths.of(tmp_path, "r")
    paths.root.mkdir(parents=True)
    paths.log.write_text("epoch 1\ndone\n")
    paths.patch.write_text(PATCH)
    manifest = Manifest(
        run_id="r",
        name="lr-0.1",
        command="python train.py --lr 0.1",
        workdir=str(tmp_path),
        git_commit="a" * 40,
        dirty=True,
        host="gpu-1",
        devices=["3"],
        python="3.12.1",
        platform="Linux",
        code="c0de",
        environment=EnvironmentNote(python="/opt/py/bin/python", hash="f" * 64),
        started_at=100.0,
        finished_at=102.5,
    )
    spec = RunSpec(
        name="lr-0.1",
        command="python train.py --lr 0.1",
        parameters={"lr": 0.1},
        env={"API_KEY": "sesame-open"},
        chat_session_id=SESSION,
        sweep_id="5f3c",
    )
    done = Outcome(status="finished", message="exit code 0", exit_code=0)
    project = ProjectConfig(train={"command": "python train.py"}, protected=["eval.py"])
    return Ended(spec, "r", paths, manifest, done, RunFacts(), measured(), project)


def test_page_tells_what_ran_where_and_what_came_of_it(ended: Ended) -> None:
    with temporary_settings({PREFECT_UI_URL: "http://prefect.lab"}):
        text = run_text(ended)
    for told in (
        "**finished** after 2.5 s on `gpu-1`, GPU 3",
        "python train.py --lr 0.1",
        "| `lr` | `0.1` |",
        "`aaaaaaaaaaaa` with changes of 1 file on top",
        "| **environment** | `/opt/py/bin/python`, packages `ffffffffffff` |",
        "| `train.py` | 2 | 1 |",
        "| **`m0`** | 0.8 |",
        "data:image/svg+xml;base64,",
        "epoch 1\ndone",
        f"(http://prefect.lab/runs/flow-run/{SESSION})",
        "(http://prefect.lab/artifacts/key/sweep-5f3c)",
    ):
        assert told in text, told
    assert titled(ended) == "lr-0.1: finished, m0 0.8"


def test_values_of_the_environment_are_not_told(ended: Ended) -> None:
    text = run_text(ended)
    assert "`API_KEY`" in text and "sesame-open" not in text


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({}, "measured"),
        ({"violations": ["eval.py was changed"]}, "claimed: eval.py was changed"),
        ({"project": None}, "claimed: the project names no command"),
    ],
)
def test_evidence_is_told_as_far_as_the_run_tells_it(
    ended: Ended, change: dict[str, Any], level: str
) -> None:
    assert f"**evidence so far** | {level}" in run_text(replace(ended, **change))


def test_failure_says_why_in_lists(ended: Ended) -> None:
    failed = Outcome(status="failed", message="exit code 1: ValueError: no", exit_code=1)
    shown = replace(ended, outcome=failed, metrics=RunMetrics())
    assert titled(shown) == "lr-0.1: failed, exit code 1: ValueError: no"
    assert "evidence so far" not in run_text(shown)


def test_page_of_the_largest_run_is_a_few_kilobytes(ended: Ended) -> None:
    huge = ended.spec.model_copy(
        update={
            "command": "x " * 50_000,
            "parameters": {f"p{n}": "v" * 1000 for n in range(500)},
            "env": {f"E{n}": "v" for n in range(500)},
        }
    )
    ended.paths.log.write_text("line of a log that is long\n" * 100_000)
    files = [PATCH.replace("train.py", f"f{n}.py") for n in range(500)]
    ended.paths.patch.write_text("".join(files))
    text = run_text(replace(ended, spec=huge, metrics=measured(200, 60)))
    assert len(text.encode()) < 20_000
