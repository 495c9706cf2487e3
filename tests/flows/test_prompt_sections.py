"""Alerts in prompts."""

from flows.models.alert import Alert, AlertKind, Severity
from flows.prompts import alerts_section


def alert(number: int, severity: Severity, message: str = "loss is NaN") -> Alert:
    return Alert(
        id=f"a{number}",
        run_id=f"r{number}",
        kind=AlertKind.NAN,
        severity=severity,
        message=message,
        choices=["continue", "stop"],
        created_at=number,
    )


ALERTS = [alert(1, Severity.INFO), alert(2, Severity.CRITICAL), alert(3, Severity.WARNING)]
NAMES = {"r1": "one", "r2": "two", "r3": "three"}


def test_full_autonomy_is_told_how_to_answer_critical_ones_first() -> None:
    text = alerts_section(ALERTS, NAMES, "full", "http://s")
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert [line.split(" ")[1] for line in lines] == ["critical", "warning", "info"]
    assert "nan of run two (r2): loss is NaN Choices: continue, stop." in lines[0]
    assert '`POST http://s/alerts/a2/respond` with `{"choice": "..."}`' in lines[0]
    assert "curl -sf http://s/prompt-skills/alert_handler" in text


def test_other_levels_are_told_in_short() -> None:
    text = alerts_section(ALERTS, NAMES, "balanced", "http://s")
    assert "3 open (runs two, three, one)" in text
    assert "respond" not in text


def test_many_alerts_are_cut() -> None:
    many = [alert(n, Severity.WARNING, "x" * 2000) for n in range(50)]
    text = alerts_section(many, {}, "full", "http://s")
    assert "and 42 more" in text
    assert len(text) < 5000


def test_no_alert_no_section() -> None:
    assert alerts_section([], {}, "full", "http://s") == ""
