"""What a call's page tells of its runs once they have ended."""

from tests.support.records import made_run
from wildloop.flows.loop.outcome import is_due, outcome_text, outcome_title
from wildloop.flows.models.session_record import IterationRecord

CALL = IterationRecord(index=7, started_at=0.0)


def test_it_is_told_once_all_runs_have_ended() -> None:
    ended = [made_run(1, status="finished", finished_at=50.0)]
    assert is_due(ended, 0.0)
    assert not is_due(ended, 60.0)
    assert not is_due([*ended, made_run(2, status="running")], 0.0)
    assert not is_due([], 0.0)


def test_values_outcome_code_and_time_are_told() -> None:
    runs = [
        made_run(
            number,
            status="finished",
            metrics={"score": value},
            started_at=1.0,
            finished_at=5.0,
            git_commit="47a7fa2b5111" + "0" * 28,
            error=None,
        )
        for number, value in enumerate((0.5, 0.7))
    ]
    failed = made_run(3, status="failed", metrics={}, started_at=2.0, finished_at=3.0, error="boom")
    title = "iteration-07: 2 of 3 runs finished: score 0.5 to 0.7, mean 0.6"
    assert outcome_title(CALL, [*runs, failed], "score") == title
    text = outcome_text(CALL, [*runs, failed], "score")
    for said in (title, "9.0 s of runs in all", "0.7", "`47a7fa2b5111`", "boom", "not measured"):
        assert said in text
    assert "error" not in outcome_text(CALL, runs, "score")
