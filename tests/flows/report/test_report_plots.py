"""Learning curves are drawn from whatever a run has measured with."""

import json
from pathlib import Path

import pytest

from tests.support.records import made_account
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.project import MetricConfig
from wildloop.flows.report.plots import draw_plots

SCORE = MetricConfig(name="score")


def run_in(folder: Path, score: float) -> Run:
    """A finished run whose folder this is."""
    folder.mkdir()
    return Run(
        id=folder.name,
        name=folder.name,
        command="true",
        workdir=str(folder),
        run_dir=str(folder),
        status=RunStatus.FINISHED,
        created_at=score,
        metrics={"score": score},
    )


@pytest.mark.parametrize("source", ["metrics.jsonl", "mlflow"])
def test_curves_come_from_any_source(tmp_path: Path, source: str) -> None:
    run = run_in(tmp_path / "run", 3)
    if source == "metrics.jsonl":
        lines = [json.dumps({"step": n, "score": n}) for n in range(4)]
        (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    else:
        tracked = tmp_path / "run" / "mlruns" / "0" / ("ab" * 16)
        (tracked / "metrics").mkdir(parents=True)
        (tracked / "meta.yaml").write_text("run_name: r\nstart_time: 1000\n")
        (tracked / "metrics" / "score").write_text(
            "".join(f"{1000 + n} {n} {n}\n" for n in range(4))
        )
    drawn = draw_plots(tmp_path, [run], made_account([run], SCORE))
    assert [path.name for path in drawn] == ["progress.png", "learning_curves.png"]
    assert all(path.stat().st_size > 1000 for path in drawn)


def test_run_without_a_series_has_no_curve(tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", 1)
    drawn = draw_plots(tmp_path, [run], made_account([run], SCORE))
    assert [path.name for path in drawn] == ["progress.png"]
