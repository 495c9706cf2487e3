"""Where a session stands, by its record."""

import pytest

from flows.models.session_record import IterationRecord, SessionRecord


def call(kind: str = "planning", **fields: object) -> IterationRecord:
    values = {"index": 0, "kind": kind, "started_at": 0} | fields
    return IterationRecord.model_validate(values)


@pytest.mark.parametrize(
    ("calls", "planned"),
    [
        ([], False),
        ([call()], True),
        ([call(failed=True)], False),
        ([call(faults=["3 phases"])], False),
        ([call(faults=["3 phases"]), call()], True),
        ([call(faults=["3 phases"]), call(faults=["3 phases"])], True),
        ([call(faults=["3 phases"]), call(failed=True)], True),
        ([call(failed=True), call(failed=True)], False),
        ([call(faults=["told late"]), call("iteration", index=1)], True),
    ],
    ids=range(9),
)
def test_planning_is_over_once_a_plan_is_good_or_was_sent_back(
    calls: list[IterationRecord], planned: bool
) -> None:
    assert SessionRecord(session_id="s", iterations=calls).planned is planned
