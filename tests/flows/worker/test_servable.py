"""A host leaves runs to others whose folder it does not have."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from wildloop.blocks.launchers.choice import Launchers
from wildloop.flows.files.place import mark_place
from wildloop.flows.store.base import PLACE_TAG
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.worker import servable
from wildloop.flows.worker.servable import Servable

HERE, THERE = SimpleNamespace(host="here"), SimpleNamespace(host="there")


def queued(workdir: Path, waited: float = 0.0, pid: str | None = None) -> Any:
    due = datetime.now(UTC) - timedelta(seconds=waited)
    return SimpleNamespace(
        id=uuid4(),
        tags=[EXPERIMENT_TAG],
        infrastructure_pid=pid,
        parameters={"spec": {"name": "r", "command": "true", "workdir": str(workdir)}},
        state=SimpleNamespace(state_details=SimpleNamespace(scheduled_time=due)),
    )


async def chosen(
    monkeypatch: pytest.MonkeyPatch, runs: list[Any], hosts: list[Any], active: list[Any]
) -> list[Any]:
    async def live(_: object) -> list[Any]:
        return hosts

    async def under_way(_: object) -> list[Any]:
        return active

    monkeypatch.setattr(servable, "live_hosts", live)
    monkeypatch.setattr(servable, "active", under_way)
    client: Any = SimpleNamespace()
    return await Servable("here").of(client, runs)


async def test_run_whose_folder_is_not_here_is_left_to_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, foreign = queued(tmp_path), queued(tmp_path / "elsewhere")
    assert await chosen(monkeypatch, [foreign, mine], [HERE, THERE], []) == [mine]


async def test_only_host_takes_it_and_fails_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = queued(tmp_path / "elsewhere")
    assert await chosen(monkeypatch, [foreign], [HERE], []) == [foreign]


async def test_run_that_nobody_takes_does_not_wait_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = queued(tmp_path / "nowhere", waited=400)
    assert await chosen(monkeypatch, [old], [HERE, THERE], []) == [old]
    busy = queued(tmp_path, pid='{"host": "there", "pid": 1, "start": 1, "boot": "b"}')
    monkeypatch.setattr(servable, "owner_of", lambda _: "there")
    assert await chosen(monkeypatch, [old], [HERE, THERE], [busy]) == []


async def test_host_that_launched_none_of_three_runs_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launchers = Launchers()
    assert [launchers.note_launch(fault) for fault in ("no", None, "no", "no")] == [False] * 4
    assert not launchers.is_aside
    assert launchers.note_launch("no") and launchers.is_aside
    assert not launchers.note_launch("no")

    async def live(_: object) -> list[Any]:
        return hosts

    monkeypatch.setattr(servable, "live_hosts", live)
    mine, client = queued(tmp_path), SimpleNamespace()
    host = Servable("here", lambda: launchers.is_aside)
    hosts = [HERE, THERE]
    assert await host.of(client, [mine]) == []  # type: ignore[arg-type]
    hosts = [HERE]
    assert await host.of(client, [mine]) == [mine]  # type: ignore[arg-type]


async def test_session_of_another_folder_is_left_to_a_host_that_has_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live(_: object) -> list[Any]:
        return hosts

    monkeypatch.setattr(servable, "live_hosts", live)
    mark = mark_place(project)
    clone = shutil.copytree(project, tmp_path / "clone")

    def session(workdir: Path) -> Any:
        tags = [f"{PLACE_TAG}{mark}"]
        return SimpleNamespace(id=uuid4(), tags=tags, parameters={"workdir": str(workdir)})

    mine, foreign, client = session(project), session(clone), SimpleNamespace()
    host = Servable("here")
    hosts = [HERE, THERE]
    assert await host.sessions(client, [foreign, mine]) == [mine]  # type: ignore[arg-type]
    hosts = [HERE]
    assert await host.sessions(client, [foreign]) == [foreign]  # type: ignore[arg-type]


async def test_session_that_no_host_takes_is_told_of_once_and_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live(_: object) -> list[Any]:
        return [HERE, THERE]

    monkeypatch.setattr(servable, "live_hosts", live)
    new, old = queued(tmp_path), queued(tmp_path, waited=70)
    for one in (new, old):
        one.parameters = {"workdir": str(tmp_path)}
    host, client = Servable("here"), SimpleNamespace()
    told = await host.unserved(client, [new, old])  # type: ignore[arg-type]
    assert [flow_run for flow_run, _ in told] == [old]
    assert all(word in told[0][1].message for word in (str(tmp_path), "here, there", "worker"))
    assert await host.unserved(client, [new, old]) == []  # type: ignore[arg-type]


async def test_run_whose_code_could_not_be_had_is_left_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def live(_: object) -> list[Any]:
        return [HERE, THERE]

    monkeypatch.setattr(servable, "live_hosts", live)
    launchers, other, refused = Launchers(), queued(tmp_path), queued(tmp_path)
    launchers.refuse(str(refused.id))
    host = Servable("here", has_refused=launchers.has_refused)
    assert await host.of(SimpleNamespace(), [refused, other]) == [other]  # type: ignore[arg-type]
