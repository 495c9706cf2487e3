"""What an event should have told is found out without it."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.states import Cancelling, Suspended
from prefect.workers.base import BaseWorker

from wildloop.flows.run.control import RunControl, StopReason
from wildloop.flows.settings import CPU_QUEUE, RUNS_QUEUE
from wildloop.flows.worker.worker import WildloopWorker


class Server:
    """Knows one flow run, which someone has stopped or paused."""

    def __init__(self, flow_run: Any) -> None:
        self.flow_run = flow_run

    async def read_flow_runs(self, **_: object) -> list[Any]:
        return [self.flow_run]

    async def read_flow_run(self, id: UUID) -> Any:
        assert id == self.flow_run.id
        return self.flow_run

    async def set_flow_run_state(self, *_: object, **__: object) -> None:
        """A suspension without an expiry takes the place of the user's."""


@pytest.mark.parametrize(
    ("state", "reason"),
    [(Cancelling(), StopReason.CANCEL), (Suspended(), StopReason.PAUSE)],
    ids=["stop", "pause"],
)
async def test_request_is_read_at_the_next_heartbeat(
    state: Any, reason: StopReason, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def quiet(_: object) -> None: ...

    async def nothing() -> list[Any]:
        return []

    monkeypatch.setattr(BaseWorker, "sync_with_backend", quiet)
    worker = WildloopWorker(work_pool_name="wildloop")
    worker._work_pool = SimpleNamespace(id=uuid4())  # type: ignore[assignment]
    worker._observing = worker.settled = True
    monkeypatch.setattr(worker, "adopt_orphans", nothing)
    held = SimpleNamespace(id=uuid4(), state=state, state_type=state.type, tags=[])
    worker._client = Server(held)  # type: ignore[assignment]
    control = RunControl()
    worker.held.claim(held.id, control)
    await worker.sync_with_backend()
    assert control.reason is reason


@pytest.mark.parametrize(
    ("held", "queue", "looks"),
    [(2, RUNS_QUEUE, False), (1, RUNS_QUEUE, True), (2, CPU_QUEUE, True), (2, None, True)],
)
async def test_worker_without_a_free_slot_does_not_look_for_runs_that_need_one(
    held: int, queue: str | None, looks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = WildloopWorker(work_pool_name="wildloop")
    worker.host = SimpleNamespace(slots=2)  # type: ignore[assignment]
    worker.held.claim(uuid4(), RunControl(), held)
    asked: list[str] = []
    monkeypatch.setattr(worker, "nudge", lambda: asked.append(""))
    for state in ("Scheduled", "Completed"):
        await worker._on_event(uuid4(), state, queue)
    assert bool(asked) is looks
