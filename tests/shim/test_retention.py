"""What the embedded Prefect server is told of retention, read as Prefect reads it."""

from datetime import timedelta

import pytest
from prefect.settings import Settings

from wildloop.shim.retention import RETENTION, retention


def prefect_settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in retention().items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_events_go_after_a_week_and_flow_runs_never_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in RETENTION:
        monkeypatch.delenv(name, raising=False)
    server = prefect_settings(monkeypatch).server
    vacuum = server.services.db_vacuum
    assert server.events.retention_period == timedelta(days=7)
    assert vacuum.enabled_vacuum_types == {"events", "orphans"}
    assert vacuum.event_retention_overrides["prefect.flow-run.heartbeat"] == timedelta(days=1)


def test_users_own_setting_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_EVENTS_RETENTION_PERIOD", "P1D")
    assert prefect_settings(monkeypatch).server.events.retention_period == timedelta(days=1)
