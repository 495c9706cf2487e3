"""Where a session stands, by its record."""

import pytest

from wildloop.flows.models.session_record import IterationRecord, SessionRecord


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


@pytest.mark.parametrize(
    ("creating", "waiting", "awaits", "goes_on"),
    [(0, 40, True, True), (7, 40, True, True), (8, 0, True, False), (3, 1, False, False)],
)
def test_iteration_goes_on_while_it_waits_and_has_calls_left(
    creating: int, waiting: int, awaits: bool, goes_on: bool
) -> None:
    before = [call("iteration", index=1, run_ids=["r"]) for _ in range(20)]
    calls = [call("iteration", index=2, run_ids=["r"]) for _ in range(creating)]
    calls += [call("iteration", index=2) for _ in range(waiting)]
    record = SessionRecord(session_id="s", iterations=[*before, *calls], awaiting_turn=awaits)
    assert record.goes_on(8) is goes_on
