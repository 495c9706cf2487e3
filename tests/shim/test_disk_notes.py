"""What the API says of a full disk, to who asks for a run that waits."""

from pathlib import Path

import pytest

from tests.support.small_disk import fill, small_disk
from wildloop.flows.files.disk import FREE_GB_VARIABLE
from wildloop.flows.models.run import Run, RunStatus
from wildloop.shim import disk


def a_run(status: RunStatus, workdir: Path) -> Run:
    return Run(
        id="1",
        name="n",
        command="true",
        workdir=str(workdir),
        status=status,
        created_at=0.0,
        run_dir=str(workdir / "run"),
    )


def test_queued_runs_say_that_they_wait_for_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FREE_GB_VARIABLE, "0.002")
    monkeypatch.setattr(disk, "FRESH_SECONDS", 0.0)
    with small_disk(tmp_path / "small") as small:
        notes, queued = disk.DiskNotes(tmp_path), a_run(RunStatus.QUEUED, small)
        assert notes.explained([queued]) == [queued]
        filled = fill(small)
        running = a_run(RunStatus.RUNNING, small)
        (waits, goes_on) = notes.explained([queued, running])
        assert str(small) in str(waits.reason)
        assert goes_on == running
        assert notes.warnings() == []
        assert "new runs wait" in disk.DiskNotes(small).warnings()[0]
        filled.unlink()
        assert notes.explained([queued]) == [queued]
