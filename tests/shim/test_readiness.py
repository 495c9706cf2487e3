"""Alive and ready are two things: `/health` and `/ready`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import ConnectError
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound

from wildloop.flows.settings import Settings
from wildloop.shim import readiness
from wildloop.shim.app import create_app
from wildloop.shim.readiness import NO_WORKER, NOT_REGISTERED, Readiness


class Prefect:
    """What a readiness looks at."""

    def __init__(self) -> None:
        self.registered = False
        self.workers: list[WorkerStatus] = []
        self.looks = 0

    async def read_deployment_by_name(self, name: str) -> object:
        self.looks += 1
        if not self.registered:
            raise ObjectNotFound(Exception(name))
        return object()

    async def read_workers_for_work_pool(self, _: str) -> list[Any]:
        return [SimpleNamespace(status=status) for status in self.workers]


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@contextmanager
def asked(app: Any, prefect: Prefect) -> Iterator[TestClient]:
    app.state.readiness.look_at(prefect)
    yield TestClient(app)


@pytest.fixture
def http(tmp_path: Path, prefect: Prefect, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(readiness, "LOOK_AGAIN_S", 0.0)
    settings = Settings(home=tmp_path, server_url="http://s", token=None, workdir=tmp_path)
    with asked(create_app(settings), prefect) as client:
        yield client


def test_ready_is_told_with_its_reason(http: TestClient, prefect: Prefect) -> None:
    for fault in (NOT_REGISTERED, NO_WORKER):
        answer = http.get("/ready")
        assert (answer.status_code, answer.json()) == (503, {"detail": fault})
        assert int(answer.headers["Retry-After"]) > 0
        health = http.get("/health")
        assert health.status_code == 200
        assert (health.json()["ready"], health.json()["reason"]) == (False, fault)
        prefect.registered = True
    prefect.workers = [WorkerStatus.OFFLINE, WorkerStatus.ONLINE]
    assert http.get("/ready").status_code == 200
    assert http.get("/health").json()["ready"] is True


def test_many_questions_are_one_look(http: TestClient, prefect: Prefect) -> None:
    prefect.registered, prefect.workers = True, [WorkerStatus.ONLINE]
    for _ in range(20):
        assert http.get("/ready").status_code == 200
    assert prefect.looks == 1


def test_a_prefect_that_is_away_is_the_reason(
    http: TestClient, prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_: str) -> None:
        raise ConnectError("refused")

    monkeypatch.setattr(prefect, "read_deployment_by_name", refuse)
    answer = http.get("/ready")
    assert answer.status_code == 503
    assert "the Prefect server does not answer (ConnectError)" in answer.json()["detail"]


async def test_a_worker_that_is_being_started_is_waited_for(
    prefect: Prefect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "LOOK_AGAIN_S", 0.0)
    look = prefect.read_deployment_by_name

    async def third_time(name: str) -> object:
        prefect.registered = prefect.looks == 2
        return await look(name)

    monkeypatch.setattr(prefect, "read_deployment_by_name", third_time)
    found = Readiness()
    found.look_at(prefect)  # type: ignore[arg-type]
    await found.wait_for_registration()
    assert prefect.looks == 3
