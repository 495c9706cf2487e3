"""The worker type `wildloop`.

Prefect's own workers start a process per flow run, which imports Prefect anew each time (7-9 s
from request to first byte on two cores). A Wildloop flow only supervises a detached command, so
this worker runs it as a coroutine in its own, warm event loop.
"""

import asyncio
from typing import Any
from uuid import UUID

import anyio.abc
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.exceptions import Abort, ObjectNotFound, Pause
from prefect.flows import Flow
from prefect.workers.base import BaseWorker
from pydantic import ValidationError

from wildloop.blocks.launchers.choice import Launchers
from wildloop.flows.errors import WildloopError
from wildloop.flows.guards.book import GuardBook
from wildloop.flows.news.ended import tell_end
from wildloop.flows.prefect_inside.engine import run_to_end
from wildloop.flows.prefect_inside.outage import Outage
from wildloop.flows.research_loop import leave_paused
from wildloop.flows.run.control import RunControl, StopReason, enter_control
from wildloop.flows.run.environment import EnvironmentRecorder
from wildloop.flows.run.sending import send_left
from wildloop.flows.settings import RUNS_QUEUE, Settings, wildloop_home
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.leftovers import close_steps
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, spec_of
from wildloop.flows.worker import absent, admission, reconcile, requests, trouble
from wildloop.flows.worker.background import Background
from wildloop.flows.worker.choice import Choice
from wildloop.flows.worker.devices import Grant
from wildloop.flows.worker.entrypoints import Entrypoints
from wildloop.flows.worker.held import Held
from wildloop.flows.worker.host import HostCompute
from wildloop.flows.worker.identity import worker_identity
from wildloop.flows.worker.observer import STEERED, observe_flow_runs
from wildloop.flows.worker.own_process import FlowProcessFailed, OwnProcesses
from wildloop.flows.worker.shares import Shares
from wildloop.flows.worker.variables import (
    WildloopJobConfiguration,
    WildloopVariables,
    WildloopWorkerResult,
)

SHUTDOWN_SECONDS = 8.0
ENDED = frozenset({"Completed", "Failed", "Crashed", "Cancelled"})


class WildloopWorker(BaseWorker[WildloopJobConfiguration, WildloopVariables, WildloopWorkerResult]):
    """Runs Wildloop's flows as coroutines in one warm process."""

    type = "wildloop"
    job_configuration = WildloopJobConfiguration
    job_configuration_variables = WildloopVariables
    _description = (
        "Runs Wildloop's research loops and experiments as coroutines in one warm process; "
        "experiments are detached process groups that outlive the worker."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.identity = worker_identity()
        self.host: HostCompute | None = None
        self.outage = Outage()
        self.launchers = Launchers()
        self._environments = EnvironmentRecorder()
        self._guards = GuardBook()
        self._absent = absent.AbsentHosts(self.identity.host)
        self.entrypoints = Entrypoints()
        self.own = OwnProcesses(wildloop_home())
        self.held = Held()
        self.shares: Shares | None = None
        self._background = Background(self._logger)
        self.choice = Choice(self.held, self.entrypoints, self._background, self.nudge)
        self._last_launch: asyncio.Event | None = None
        self._dispatching = asyncio.Lock()
        self._adopting = asyncio.Lock()
        self._sending = asyncio.Lock()
        self._look_is_due = False
        self._stopping = False
        self._observing = False
        self.settled = False
        self.taken_up = ""

    async def sync_with_backend(self) -> None:
        """Heartbeat; then look for changes of the compute, for stops and pauses, for orphans."""
        await super().sync_with_backend()
        if self._work_pool is None:
            return
        if self.host is not None:
            await self.host.refresh(self.client)
            self.shares = self.shares or Shares(
                self.identity.host, wildloop_home() / f"shares-{self.work_pool.id}.json"
            )
        if not self._observing:
            self._observing = True
            self._background.spawn(
                observe_flow_runs(
                    self.work_pool.id, self._on_event, self.resync, self._cluster_changed
                )
            )
        # Prefect's event stream may lose an event: nobody's stop or pause may be lost with it.
        await self._read_held()
        if not self.settled:
            await absent.reclaim(self.client, self.identity.host)
            for flow_run in await reconcile.paused_and_left(self.client):
                await self._leave_paused(flow_run)
            await self._take_up_own()
        adopted = await self.adopt_orphans()
        if self.shares is not None and self.host is not None:
            async with self._dispatching:
                await self.shares.refresh(self.client, self.host.slots, self.held.counted)
        self._background.spawn(self._send_left())
        if not self.settled:
            self.taken_up = reconcile.taken_up_note(adopted)
            self.settled = True

    async def _send_left(self) -> None:
        async with self._sending:
            await send_left(Settings.from_environment(), {str(id) for id in self.held.ids})

    async def _cluster_changed(self) -> None:
        if self.host is not None:
            await self.host.refresh(self.client)
            self.nudge()

    def resync(self) -> None:
        """Read what events may have told while nobody heard them."""
        self._background.spawn(self._read_held())
        self.nudge()

    async def _read_held(self) -> None:
        for state in await reconcile.requests(self.client, self.held.ids):
            await self._on_event(*state)

    async def adopt_orphans(self) -> list[FlowRun]:
        """Drive the flow runs of this host that a dead worker has left behind; return them."""
        adopted: list[FlowRun] = []
        async with self._adopting:
            if self._stopping:
                return adopted
            before = set(self.held.ids)
            active = await reconcile.active(self.client)
            # A run that was claimed while the list was read is not in it, yet has its devices.
            held = before | set(self.held.ids)
            if self.host is not None:
                self.host.reserve([run for run in active if run.id not in held], held)
            taken = self.shares.taken if self.shares is not None else ()
            for stale in reconcile.orphans(active, held, self.identity, taken):
                # Read again: it may have been claimed, or have ended, since the list was asked for.
                flow_run = await self.client.read_flow_run(stale.id)
                if stale.id in self.held or flow_run.state_type not in reconcile.ACTIVE:
                    continue
                self._logger.info("adopting %s, left by %s", stale.id, stale.infrastructure_pid)
                self._start(flow_run)
                adopted.append(flow_run)
            if seconds := self.outage.take_reports():
                self._background.spawn(trouble.tell_outages(self.client, active, seconds))
            left = [run for run in active if admission.may_hold_slots(run, self.identity)]
            self.held.look({run.id: spec_of(run).gpus for run in left})
            if self.host is not None:
                self.host.left_elsewhere = await self._absent.look(self.client, active)
        return adopted

    async def _take_up_own(self) -> None:
        """Go on with the flows of a team's own whose processes a former worker has started."""
        for flow_run, devices in await self.own.take_up(self.client):
            await self.entrypoints.look(self.client, [flow_run])
            if self.host is not None:
                self.host.devices.hold(str(flow_run.id), devices)
            self._start(flow_run)

    def nudge(self) -> None:
        """Look for work now; calls made while a look is due are folded into it."""
        if not self._look_is_due:
            self._look_is_due = True
            self._background.spawn(self._look())

    async def _look(self) -> None:
        async with self._dispatching:
            self._look_is_due = False
            await super().get_and_submit_flow_runs()
            if self.shares is not None and not self._stopping:
                await self.shares.settle(self.client)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Look for work: Prefect's slow poll, a safety net behind the events."""
        async with self._dispatching:
            return await super().get_and_submit_flow_runs()

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """What may start now. The server holds back all above the queues' concurrency limits."""
        if self._stopping or not self.settled:
            return []
        offered = [entry.flow_run for entry in await super()._get_scheduled_flow_runs()]
        chosen = await self.choice.of(
            self.client,
            self.host,
            self.shares,
            [run for run in offered if run.id not in self.held],
        )
        # Counted from here on: the claim reaches the server only later.
        for run in [run for run in chosen if self.choice.wants_slots(run)]:
            room = self.choice.rooms.get(run.id)
            if self.host is not None and self._reserve(run, room) is None:
                chosen.remove(run)
                if self.shares is not None and run.id not in self.held:
                    self.shares.give(run.id)
        return [
            WorkerFlowRunResponse(
                work_pool_id=self.work_pool.id, work_queue_id=run.work_queue_id, flow_run=run
            )
            for run in chosen
        ]

    async def _submit_run(self, flow_run: FlowRun) -> None:
        """Claim a flow run and drive it to its end.

        Prefect's version reads the deployment, resolves a job configuration, writes labels and a
        Submitting state: four requests that a flow in this process has no use for.
        """
        control = self.held.control(flow_run.id) or self._reserve(flow_run)
        if control is None:
            self._submitting_flow_run_ids.discard(flow_run.id)
            return
        try:
            if await self._propose_pending_state(flow_run):
                self._background.spawn(self._sign(flow_run.id))
                await self._drive(flow_run, control)
        finally:
            self._submitting_flow_run_ids.discard(flow_run.id)
            self._release(flow_run.id)

    async def _leave_paused(self, flow_run: FlowRun) -> None:
        try:
            await leave_paused(self.client, flow_run)
        except (WildloopError, ValidationError) as error:
            self._logger.error("the agent of %s was not looked for: %s", flow_run.id, error)
        await self._sign(flow_run.id)

    def _start(self, flow_run: FlowRun) -> None:
        """Drive an adopted flow run."""
        assert self._runs_task_group is not None
        control = self._reserve(flow_run)
        if control is None:
            self._logger.warning("%s waits: its devices are not to be had now", flow_run.id)
            return
        control.is_adopted = True
        if self.shares is not None and self.host is not None:
            slots = self.held.slots.get(flow_run.id, 0)
            self.shares.adopt(flow_run.id, self.host.shared_slots(str(flow_run.id), slots))
        if requests.is_to_end(flow_run):
            control.request(StopReason.CANCEL)

        async def drive() -> None:
            try:
                await self._sign(flow_run.id)
                if EXPERIMENT_TAG in flow_run.tags:
                    await close_steps(self.client, flow_run.id)
                await self._drive(flow_run, control)
            finally:
                self._release(flow_run.id)

        self._runs_task_group.start_soon(drive)

    def _reserve(self, flow_run: FlowRun, room: str | None = None) -> RunControl | None:
        """Count a flow run as this worker's, with its slots and devices; None if there are none.

        Of several computes it has the one chosen for it, its `room`.
        """
        if flow_run.id in self.held:
            return None
        slots = 0
        if not self.choice.wants_slots(flow_run):
            control = RunControl(guards=self._guards)
        else:
            spec = self.entrypoints.demand(flow_run)
            id = str(flow_run.id)
            grant = self.host.grant(id, spec, room) if self.host else Grant((), False)
            if grant is None and requests.is_to_end(flow_run):
                # It is to be ended, not launched: it needs no devices.
                grant = Grant((), False)
            if grant is None:
                return None
            control = RunControl(
                grant.visible,
                self.launchers,
                self._environments,
                after=self._last_launch,
                guards=self._guards,
            )
            if self.host is not None:
                control.compute = self.host.chosen(id)
                control.gpu_type = self.host.own_type(id, spec)
            self._last_launch = control.launched
            self.choice.turns.began(flow_run, spec)
            slots = spec.gpus
        self.held.claim(flow_run.id, control, slots)
        if self.entrypoints.of(flow_run).flow is None:
            self.own.claim(flow_run.id)
        return control

    def _release(self, flow_run_id: UUID) -> None:
        self.held.release(flow_run_id)
        if self.host is not None:
            self.host.release(str(flow_run_id), flow_run_id not in self.held.counted)
        # A command that goes on without a driver keeps its slots.
        if self.shares and not self._stopping and flow_run_id not in self.held.counted:
            self.shares.give(flow_run_id)
        self.own.release(flow_run_id)
        self._release_limit_slot(flow_run_id)
        self.nudge()

    async def _sign(self, flow_run_id: UUID) -> None:
        await self.client.update_flow_run(flow_run_id, infrastructure_pid=str(self.identity))

    async def _drive(self, flow_run: FlowRun, control: RunControl) -> None:
        """Run the flow to its end; never raises, since that would end the whole worker."""
        logger = self.get_flow_run_logger(flow_run)
        named = self.entrypoints.of(flow_run)
        try:
            if named.flow is None:
                await self.own.run(self.client, self.work_pool, self.name, flow_run, control)
                state = (await self.client.read_flow_run(flow_run.id)).state
            else:
                state = await self._run_flow(named.flow, flow_run, control)
            # Its state was changed by someone else, perhaps before the event was here.
            if (
                state is not None
                and not state.is_final()
                and await requests.is_cancelling(self.client, flow_run.id)
            ):
                control.request(StopReason.CANCEL)
        except (Abort, Pause) as left:
            logger.info("left as it is: %s", left)
            if isinstance(left, Pause):
                await requests.put_back(self.client, flow_run.id)
        except ObjectNotFound:
            # By now its command or agent has been ended.
            self._logger.warning("flow run %s was deleted while it ran", flow_run.id)
        except FlowProcessFailed as failed:
            # Prefect says what came of the flow, where it could.
            if await requests.is_active(self.client, flow_run.id):
                await self._propose_crashed_state(flow_run, str(failed))
        except Exception as error:
            self.held.lose(flow_run.id)
            logger.exception("flow run ended by an unexpected error")
            await self._propose_crashed_state(flow_run, f"{type(error).__name__}: {error}")
        if control.reason is StopReason.CANCEL:
            await requests.close_cancelled(self.client, flow_run.id)
        if named.tag == LOOP_TAG:
            self._background.spawn(tell_end(self.client, str(flow_run.id)))

    async def _run_flow(
        self, flow: Flow[Any, Any], flow_run: FlowRun, control: RunControl
    ) -> State[Any]:
        enter_control(control)
        # It sees no suspensions: the observer does.
        return await run_to_end(flow, flow_run)

    async def _on_event(self, flow_run_id: UUID, state_name: str, queue: str | None = None) -> None:
        control = self.held.control(flow_run_id)
        if state_name in ("Cancelled", reconcile.DELETED) and control is not None:
            # Set by hand past Cancelling: Prefect lets the engine run it all the same.
            control.request(StopReason.CANCEL)
        if state_name == "Cancelling":
            if control is not None:
                control.request(StopReason.CANCEL)
            else:
                # Left by a worker that is gone, or asked for in the moment of its end.
                await self.adopt_orphans()
        elif state_name in ("Paused", "Suspended"):
            if self.own.has(flow_run_id):
                # Prefect's engine in its process sees to it.
                return
            if control is not None and await requests.suspend(self.client, flow_run_id):
                control.request(StopReason.PAUSE)
        elif state_name == STEERED:
            if control is not None:
                control.activity.set()
        else:
            if state_name in ENDED:
                self.held.wake()
            # Of one that is driven here, or was, the end of the drive tells.
            is_ours = control is not None or self.held.has_ended(flow_run_id)
            # Where all slots are held, runs that need one are looked for when one is given back.
            is_full = self.host is not None and self.held.leaves_none_of(self.host.slots)
            if (state_name not in ENDED or not is_ours) and not (is_full and queue == RUNS_QUEUE):
                self.nudge()

    async def let_go(self) -> None:
        """Stop taking work and end all flows, leaving their states and commands as they are."""
        self._stopping = True
        self.held.request(StopReason.SHUTDOWN)
        with anyio.move_on_after(SHUTDOWN_SECONDS):
            while self.held:  # noqa: ASYNC110 - a few looks, at the very end only
                await asyncio.sleep(0.02)
        self._background.cancel()

    async def run(
        self,
        flow_run: FlowRun,
        configuration: WildloopJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> WildloopWorkerResult:
        """Run one flow run here and now (Prefect's interface; the worker itself uses _drive)."""
        if task_status is not None:
            task_status.started(self.identity.pid)
        control = self._reserve(flow_run)
        if control is None:
            raise RuntimeError(f"flow run {flow_run.id} runs already, or its devices are in use")
        try:
            await self._drive(flow_run, control)
        finally:
            self._release(flow_run.id)
        return WildloopWorkerResult(identifier=str(self.identity), status_code=0)
