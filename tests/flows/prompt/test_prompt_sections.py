"""Alerts in prompts, and when a waiting agent is called."""

from wildloop.flows.models.alert import Alert, AlertKind, Severity
from wildloop.flows.models.wake import WAKES
from wildloop.flows.prompt.sections import (
    WAKE_TEXTS,
    PromptContext,
    alerts_section,
    render_prompt,
)
from wildloop.flows.skills import SkillLibrary, shipped_skills_path


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


def test_an_iteration_tells_when_it_is_called_again_as_the_session_has_it() -> None:
    library, told = SkillLibrary(shipped_skills_path()), set[str]()
    for wake in WAKES:
        context = PromptContext(wake_text=WAKE_TEXTS[wake])
        prompt = render_prompt(library, "wild_v2_iteration", context)
        told.add(prompt.split("called again in this iteration ")[1].split(".")[0])
        assert f'wake="{wake}"' not in WAKE_TEXTS[wake]
    assert len(told) == len(WAKES)
    assert "when **all** of them have ended" in render_prompt(
        library, "wild_v2_iteration", PromptContext()
    )
