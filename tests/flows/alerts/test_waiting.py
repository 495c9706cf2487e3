"""When it is told that a run waits in Slurm's queue."""

from wildloop.flows.alerts.waiting import WaitWatch
from wildloop.flows.models.alert import AlertKind, Severity


def test_reason_that_never_ends_is_told_soon_and_an_ordinary_queue_late() -> None:
    watch = WaitWatch()
    assert watch.see(0, "Resources") is None and watch.see(3600, "Resources") is None
    assert watch.see(3601, "PartitionTimeLimit") is None
    found = watch.see(3700, "put back into the queue: PartitionTimeLimit")
    assert found is not None and found.kind is AlertKind.WAITING
    assert found.severity is Severity.WARNING and "time_limit" in found.message


def test_limit_of_an_account_is_told_after_a_while() -> None:
    watch = WaitWatch()
    assert watch.see(0, "AssocGrpGRES") is None and watch.see(600, "AssocGrpGRES") is None
    found = watch.see(1000, "AssocGrpGRES")
    assert found is not None and "account" in found.message
