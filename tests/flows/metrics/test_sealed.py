"""What a run has measured is settled at its end."""

import json
from pathlib import Path

import pytest

from wildloop.flows.metrics.sealed import CHANGED, NAME, measured, seal
from wildloop.flows.models.run import Run, RunStatus


@pytest.fixture
def ended(tmp_path: Path) -> Run:
    lines = [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Run(
        id="r",
        name="r",
        command="true",
        workdir=str(tmp_path),
        status=RunStatus.FINISHED,
        created_at=0,
        run_dir=str(tmp_path),
        metrics={"loss": 0.4},
        sealed=seal(tmp_path, None, None),
    )


def test_edit_after_the_end_changes_nothing(ended: Run) -> None:
    before = measured(ended)
    assert before.last == {"loss": 0.4}
    with (Path(ended.run_dir) / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "loss": 0.01}\n')
    assert measured(ended) == before
    assert [point.value for point in before.series["loss"]] == [0.5, 0.4]


@pytest.mark.parametrize("content", [None, b"", b"not gzip"])
def test_changed_seal_leaves_what_was_noted(ended: Run, content: bytes | None) -> None:
    path = Path(ended.run_dir) / NAME
    path.unlink() if content is None else path.write_bytes(content)
    found = measured(ended)
    assert found.last == {"loss": 0.4}
    assert found.notes == [CHANGED] and not found.series


def test_running_and_older_runs_are_read_as_they_stand(ended: Run) -> None:
    with (Path(ended.run_dir) / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "loss": 0.01}\n')
    for other in ({"status": RunStatus.RUNNING}, {"sealed": ""}):
        assert measured(ended.model_copy(update=other)).last["loss"] == 0.01
