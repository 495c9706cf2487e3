"""What people are told of a session."""

import pytest

from wildloop.flows import events
from wildloop.flows.models.alert import Alert, AlertKind, AlertStatus, Severity
from wildloop.flows.models.digest import Digest
from wildloop.flows.models.evidence import BestResult, Comparison, Level
from wildloop.flows.models.run import RunCounts
from wildloop.flows.models.session import Session, SessionStatus
from wildloop.flows.models.session_record import Phase
from wildloop.flows.models.spending import Spending
from wildloop.flows.news.texts import digest_text, digest_title, session_digest

HEADLINE = "val_accuracy 0.98 ± 0.002 (n=3) (lr=0.1), +0.08 on the baseline's 0.9 (n=3)"


def session(**fields: object) -> Session:
    found = Session(
        session_id="s1",
        goal="Raise the\naccuracy",
        workdir="/p",
        agent="baseline",
        status=SessionStatus.COMPLETED,
        phase=Phase.ENDED,
        is_active=False,
        iteration=6,
        max_iterations=25,
        started_at=1.0,
        finished_at=2.0,
        branch="wild/s1",
        session_dir="/p/.wild/sessions/s1",
        runs=RunCounts(total=9, completed=7, failed=2),
        headline=HEADLINE,
        spent=Spending(hours=3.25, cost_usd=1.5, cost_is_estimate=True, gpu_hours=6.5),
        ui_url="http://127.0.0.1:4200/runs/flow-run/s1",
    )
    return found.model_copy(update=fields)


def result(level: Level, value: float) -> BestResult:
    return BestResult(run_id="r", run_name="r", metric="val_accuracy", value=value, level=level)


def alert(message: str, status: AlertStatus) -> Alert:
    return Alert(
        id="a", run_id="r", kind=AlertKind.NAN, severity=Severity.WARNING, message=message,
        choices=["stop"], status=status, created_at=1.5,
    )  # fmt: skip


def digest(*sessions: Session, alerts: tuple[Alert, ...] = ()) -> Digest:
    found = Digest(
        since=0.0, until=9.0, title="", text="",
        sessions=[session_digest(one, alerts) for one in sessions],
    )  # fmt: skip
    return found.model_copy(update={"title": digest_title(found), "text": digest_text(found)})


def test_digest_has_goal_result_level_runs_cost_alerts_and_links() -> None:
    found = digest(
        session(
            best=result(Level.MEASURED, 0.98),
            baseline=result(Level.MEASURED, 0.9),
            gain=Comparison(test="Welch", gain=0.08),
            candidates=["lr=0.2: 0.985 (n=1); about 2 more seeds would decide"],
            target="target val_accuracy above 0.97: reached",
        ),
        alerts=(alert("loss is NaN", AlertStatus.OPEN), alert("old", AlertStatus.RESOLVED)),
    )
    assert found.sessions[0].level is Level.MEASURED
    assert found.title.endswith("1 completed, 1 better than the baseline, alerts open")
    for part in (
        "## Raise the accuracy",
        HEADLINE,
        "target val_accuracy above 0.97: reached",
        "runs: 9: 7 finished, 2 failed, 0 stopped",
        "cost: 3.25 h, $1.50 (by list prices), 6.50 slot-hours",
        "alerts: 2, 1 open: nan: loss is NaN; nan: old",
        "look at: open alert, nan: loss is NaN",
        "look at: its best is not confirmed: `wildloop verify s1` does it",
        "look at: looks better, undecided: lr=0.2",
        "branch: wild/s1 in /p",
        "http://127.0.0.1:4200/runs/flow-run/s1",
        "`wildloop report s1`",
    ):
        assert part in found.text, part


def test_a_best_that_is_the_baseline_has_no_level() -> None:
    found = digest(session(best=result(Level.CONFIRMED, 0.9), gain=None))
    assert found.sessions[0].level is None
    assert "better than the baseline" not in found.title


def test_a_failure_comes_first_and_a_night_without_a_session_is_said() -> None:
    found = digest(session(status=SessionStatus.FAILED, error="preflight failed: no agent"))
    assert found.sessions[0].look_at[0] == "it failed: preflight failed: no agent"
    assert "1 failed" in found.title
    nothing = digest()
    assert "no session" in nothing.title
    assert "wildloop nightly status" in nothing.text


def test_events_hold_no_secrets_and_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, object]] = []
    monkeypatch.setattr(events, "emit_event", lambda name, **said: told.append(said))
    monkeypatch.setenv("MY_API_TOKEN", "very-secret-value")
    for _ in range(2):
        events.tell(
            events.SESSION_BEST, "wildloop.session.s1", "a\nb very-secret-value", "x" * 9000,
            session_id="s1", once="1",
        )  # fmt: skip
    payload = told[0]["payload"]
    assert isinstance(payload, dict)
    assert payload["title"] == "a b [redacted]"
    assert len(payload["text"]) == events.TEXT_LENGTH
    assert told[0]["id"] == told[1]["id"]
    assert told[0]["related"] == [
        {"prefect.resource.id": "prefect.flow-run.s1", "prefect.resource.role": "session"}
    ]
