"""What a report of a run may say."""

from pathlib import Path

import pytest

from wildloop.flows.errors import Conflict, WildloopError
from wildloop.flows.models.run import Run, RunStatus
from wildloop.shim.models import StatusReport
from wildloop.shim.reports import MOST_BYTES, check_report, keep_report


def run_of(status: RunStatus, folder: Path = Path("/nowhere"), code: int | None = None) -> Run:
    """A run in this status."""
    return Run(
        id="r",
        name="r",
        command="true",
        workdir="/w",
        status=status,
        created_at=0,
        exit_code=code,
        run_dir=str(folder),
    )


@pytest.mark.parametrize("actual", list(RunStatus))
@pytest.mark.parametrize("told", list(RunStatus))
def test_report_counts_only_where_it_agrees(actual: RunStatus, told: RunStatus) -> None:
    agrees = actual is told or (actual.is_active and told.is_active)
    if agrees:
        check_report(run_of(actual), StatusReport(status=told))
        return
    with pytest.raises(WildloopError) as caught:
        check_report(run_of(actual), StatusReport(status=told))
    assert caught.value.status_code == 409
    assert f"'{actual}'" in str(caught.value) and f"'{told}'" in str(caught.value)


def test_other_exit_code_than_the_true_one_is_refused() -> None:
    failed = run_of(RunStatus.FAILED, code=7)
    check_report(failed, StatusReport(status=RunStatus.FAILED, exit_code=7, error="why"))
    with pytest.raises(Conflict, match="exit code 7, not 0"):
        check_report(failed, StatusReport(status=RunStatus.FAILED, exit_code=0))
    with pytest.raises(Conflict, match="exit_code"):
        check_report(run_of(RunStatus.RUNNING), StatusReport(status=RunStatus.RUNNING, exit_code=0))


async def test_reports_are_kept_up_to_a_bound(tmp_path: Path) -> None:
    run, report = run_of(RunStatus.RUNNING, tmp_path), StatusReport(status=RunStatus.RUNNING)
    await keep_report(run, report)
    await keep_report(run, report)
    assert len((tmp_path / "reports.jsonl").read_text().splitlines()) == 2
    (tmp_path / "reports.jsonl").write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(Conflict, match="report changes only"):
        await keep_report(run, report)


async def test_report_of_a_run_without_a_folder_makes_none(tmp_path: Path) -> None:
    run = run_of(RunStatus.READY, tmp_path / "absent")
    await keep_report(run, StatusReport(status=RunStatus.READY))
    assert not (tmp_path / "absent").exists()
