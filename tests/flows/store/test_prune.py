"""What goes and what stays when old sessions and runs are pruned, on a real Prefect server."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Running, Scheduled

from tests.support.pace import patient
from tests.support.repository import first_commit, write
from tests.support.server import Server
from wildloop.flows.files.paths import RunPaths, SessionPaths
from wildloop.flows.models.own_runs import OwnRuns, own_id
from wildloop.flows.store import artifacts
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.naming import PLAN, readable_key
from wildloop.flows.store.position import LOG_KEY, POSITION_KEY
from wildloop.flows.store.prune import plan_prune, prune
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG

pytestmark = pytest.mark.server


@flow(name="of-a-test")
def nothing() -> None:
    """Never run: flow runs are made of it."""


@dataclass
class Records:
    """Flow runs as Wildloop makes them, with their folders."""

    client: PrefectClient
    project: Path
    made: list[UUID] = field(default_factory=list)

    async def session(self, state: Any) -> UUID:
        parameters = {"goal": "a goal", "workdir": str(self.project)}
        made = await self._flow_run(state, parameters, [LOOP_TAG])
        return made

    async def step(self, session: UUID) -> UUID:
        return await self._flow_run(Completed(), {}, [f"session:{session}"])

    async def run(
        self, state: Any, of: str | UUID | None = None, parent: UUID | None = None
    ) -> UUID:
        spec: dict[str, Any] = {"command": "true", "workdir": str(self.project), "name": "r"}
        tags = [EXPERIMENT_TAG]
        if of is not None:
            spec["chat_session_id"] = str(of)
            tags.append(f"session:{of}")
        if parent is not None:
            spec["parent_run_id"] = str(parent)
        made = await self._flow_run(state, {"spec": spec}, tags)
        write(RunPaths.of(self.project, str(made)).log, "said\n" * 1000)
        return made

    async def _flow_run(self, state: Any, parameters: dict[str, Any], tags: list[str]) -> UUID:
        made = await self.client.create_flow_run(
            nothing, parameters=parameters, tags=tags, state=state
        )
        self.made.append(made.id)
        return made.id

    async def leave_nothing(self) -> None:
        """Take away what is still there: others who share the server would count it."""
        for id in self.made:
            if await self.is_there(id):
                await self.client.delete_flow_run(id)

    async def is_there(self, id: UUID) -> bool:
        try:
            await self.client.read_flow_run(id)
        except ObjectNotFound:
            return False
        return True

    async def logs_of(self, id: UUID) -> int:
        wanted = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[id]))
        return len(await self.client.read_logs(log_filter=wanted, limit=10))

    def folder(self, run: UUID) -> Path:
        return RunPaths.of(self.project, str(run)).root


@pytest.fixture
async def records(
    server: Server, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Records]:
    project = first_commit(repository, monkeypatch, {"train.py": "1\n"})
    api = f"http://127.0.0.1:{server.prefect_port}/api"
    async with PrefectClient(api, auth_string=f"wildloop:{server.token}") as client:
        found = Records(client, project)
        yield found
        await found.leave_nothing()


async def test_old_session_goes_as_a_whole_and_nothing_else(records: Records) -> None:
    old = await records.session(Completed())
    its_runs = [
        await records.run(Completed(), old),
        await records.run(Completed(), own_id(str(old), OwnRuns.CONFIRM)),
    ]
    step = await records.step(old)
    for key in (LOG_KEY, LOG_KEY, POSITION_KEY):
        await artifacts.write(records.client, f"{key}{old}", text="x" * 500, record="{}")
    await artifacts.write(records.client, "report-of-test", text="y", flow_run_id=old)
    # Of a step that was deleted by hand, of a session that was, and of one that stays.
    plan_key = readable_key(PLAN, "a goal", str(old))
    deleted = f"{LOG_KEY}{uuid4()}"
    await artifacts.write(records.client, plan_key, text="y")
    await artifacts.write(records.client, deleted, text="y", record="{}")
    page = {"text": "what it was", "description": "a run"}
    await artifacts.attach(records.client, its_runs[0], **page)
    said = LogCreate(
        name="test", level=20, message="said", timestamp=datetime.now(UTC), flow_run_id=step
    )
    await records.client.create_logs([said])
    write(SessionPaths.of(records.project, str(old)).log, "log\n")
    alone, repeated = await records.run(Completed()), await records.run(Completed())
    active = await records.session(Running())
    kept = await records.run(Completed(), active)
    write(SessionPaths.of(records.project, str(active)).log, "log\n")
    await artifacts.write(records.client, f"{LOG_KEY}{active}", text="y", record="{}")
    with_runs = await records.session(Completed())
    under_way = await records.run(Running(), with_runs)
    before = time.time() + 0.001
    await asyncio.sleep(0.01)
    repetition = await records.run(Completed(), parent=repeated)
    young = await records.session(Completed())
    stays = [repeated, active, kept, with_runs, under_way, repetition, young]

    plan = await plan_prune(records.client, before)
    assert not {*plan.flow_runs} & {*stays}
    goes = {old, *its_runs, step, alone}
    assert goes <= {*plan.flow_runs}
    assert plan.artifact_bytes >= 1500 and plan.logs >= 1
    # The server is shared: what other tests have left is pruned too.
    found = {folder.path: folder.size for folder in plan.folders}
    assert all(found[str(records.folder(one))] > 0 for one in [*its_runs, alone])
    assert all([await records.is_there(one) for one in goes])

    await prune(records.client, plan)
    assert not any([await records.is_there(one) for one in goes])
    assert all([await records.is_there(one) for one in stays])
    gone = [f"{LOG_KEY}{old}", "report-of-test", plan_key, deleted]
    assert await artifacts.latest(records.client, *gone) == {}
    assert await artifacts.latest(records.client, f"{LOG_KEY}{active}")
    attached = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[its_runs[0]]))
    assert await records.client.read_artifacts(artifact_filter=attached) == []
    assert not any(records.folder(one).exists() for one in [*its_runs, alone])
    assert all(records.folder(one).exists() for one in [repeated, kept, under_way, repetition])
    assert not SessionPaths.of(records.project, str(old)).root.exists()
    assert SessionPaths.of(records.project, str(active)).root.exists()
    deadline = time.monotonic() + patient(30)
    while await records.logs_of(step):
        assert time.monotonic() < deadline, "Prefect takes the logs away"
        await asyncio.sleep(0.2)
    again = await plan_prune(records.client, before)
    assert not goes & {*again.flow_runs}
    left = {folder.path for folder in again.folders}
    assert not left & {str(records.folder(one)) for one in [*its_runs, alone]}


async def test_waiting_runs_and_what_git_tracks_stay(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, ready = await records.session(Completed()), await records.run(Scheduled())
    log = SessionPaths.of(records.project, str(old)).log
    first_commit(records.project, monkeypatch, {str(log.relative_to(records.project)): "log\n"})
    plan = await plan_prune(records.client, time.time() + 1)
    assert old in plan.sessions and ready not in plan.runs
    assert [text for text in plan.left if str(log.parent) in text and "git tracks it" in text]
    await prune(records.client, plan)
    assert log.exists() and await records.is_there(ready)


async def test_environments_of_clones_go_that_no_run_has_used(records: Records) -> None:
    home = records.project / ".wild" / "setup"
    for name, age in (("a" * 16, 500), ("b" * 16, 0)):
        write(home / name / "lib", "x" * 100)
        write(home / f"{name}.done", "")
        os.utime(home / f"{name}.done", (time.time() - age,) * 2)
    before = time.time() - 100
    under_way = await records.run(Running())
    assert not await setups(records, before)
    await records.client.set_flow_run_state(under_way, Completed(), force=True)
    assert await setups(records, before) == [str((home / ("a" * 16)).resolve())]
    await prune(records.client, await plan_prune(records.client, before))
    assert sorted(path.name for path in home.iterdir()) == ["b" * 16, f"{'b' * 16}.done"]


async def setups(records: Records, before: float) -> list[str]:
    """The environments of the test's project that would go."""
    plan = await plan_prune(records.client, before)
    inside = str(records.project.resolve())
    return [one.path for one in plan.folders if inside in one.path and "/setup/" in one.path]
