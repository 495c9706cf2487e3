"""[alerts] of wildloop.toml, and the events that alerts emit."""

from pathlib import Path
from uuid import uuid4

import pytest
from prefect.events.schemas.events import Event

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.events import ALERT_RAISED
from wildloop.flows.models.alert import AlertKind
from wildloop.flows.project import AlertsConfig, load_project
from wildloop.flows.store.alerts import ALERTS_RESOURCE, alerted_session


def test_limits_and_kinds_are_read(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_text(
        '[alerts]\nsilence_minutes = 45\noff = ["exit"]\nstop_on = ["nan", "silence"]\n'
    )
    config = load_project(tmp_path)
    assert config is not None
    assert config.alerts.silence_minutes == 45
    assert config.alerts.off == [AlertKind.EXIT]
    assert config.alerts.stop_on == [AlertKind.NAN, AlertKind.SILENCE]


def test_without_the_table_the_defaults_hold(tmp_path: Path) -> None:
    (tmp_path / "wildloop.toml").write_text("")
    config = load_project(tmp_path)
    assert config is not None
    assert config.alerts == AlertsConfig()
    assert (config.alerts.silence_minutes, config.alerts.silence_factor) == (10, 10)
    assert (config.alerts.off, config.alerts.stop_on) == ([], [])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("silence_minutes = 0", "[alerts] silence_minutes"),
        ('off = ["nans"]', "[alerts] off.0"),
        ("disk_free_percent = 101", "[alerts] disk_free_percent"),
        ("silent = 3", "use one of silence_minutes"),
    ],
)
def test_bad_values_are_refused_by_place(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "wildloop.toml").write_text(f"[alerts]\n{line}\n")
    with pytest.raises(InvalidRequest) as caught:
        load_project(tmp_path)
    assert said in str(caught.value)


def event_of(session_id: str, name: str = ALERT_RAISED) -> Event:
    resource = {"prefect.resource.id": ALERTS_RESOURCE, "wildloop.session.id": session_id}
    return Event.model_validate(
        {"occurred": "2026-01-01T00:00:00Z", "event": name, "resource": resource, "id": uuid4()}
    )


def test_event_of_an_alert_names_its_session() -> None:
    session_id = uuid4()
    assert alerted_session(event_of(str(session_id))) == session_id


@pytest.mark.parametrize("session_id", ["", "chat with umlaut ü"])
def test_alert_of_no_session_wakes_nobody(session_id: str) -> None:
    assert alerted_session(event_of(session_id)) is None


def test_other_events_are_no_alerts() -> None:
    assert alerted_session(event_of(str(uuid4()), "wildloop.session.steered")) is None
