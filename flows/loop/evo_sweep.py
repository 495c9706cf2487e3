"""The evolutionary sweep: a flow of its own beside its session's steps, resumable at any point."""

import asyncio
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run as runtime
from prefect.states import Cancelled, Completed, Failed

from wildloop.flows.errors import BudgetSpent, InvalidTransition, WildloopError
from wildloop.flows.loop.under_way import SweepLeft
from wildloop.flows.loop.work import Work, current_work
from wildloop.flows.metrics.names import match
from wildloop.flows.metrics.sealed import measured
from wildloop.flows.models.compute import wish_of
from wildloop.flows.models.evo import EvoSweepSpec, Failure, PrunerKind, Trial, TrialStatus
from wildloop.flows.models.evo_sweep import EvoSweepRecord, EvoSweepStatus, EvoSweepStop
from wildloop.flows.models.run import MetricPoint, Run, RunCreate, RunSpec, RunStatus
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.protocol.experiments import ExperimentRequest
from wildloop.flows.run.control import StopRequested
from wildloop.flows.spending import refusal, spending

if TYPE_CHECKING:
    from wildloop.flows.search.study import Study

CHECK_SECONDS = 15.0
PRUNE_SECONDS = 2.0
MIN_ALL_FAILED = 3
"""So many trials at least, and a generation, must fail before a sweep is given up."""
INTERPRETERS = {".py": "python", ".sh": "bash"}


@flow(name="evo-sweep", flow_run_name="evo-sweep-{label}", persist_result=False)
async def evo_sweep(session_id: str, label: str) -> State[Any]:
    """Search parameters by trials, each a run of the session.

    Args:
        session_id: the session that this belongs to.
        label: name of the agent's call that asked for it.
    """
    work = current_work()
    evo = work.stores.evo
    record = await evo.get(session_id)
    record.flow_run_id = str(runtime.id)
    await evo.save(record)
    try:
        await (await Sweeper.of(work, record)).drive()
    except (StopRequested, SweepLeft) as left:
        return Cancelled(message=str(left))
    except WildloopError as error:
        await evo.stop_runs(record, running=False)
        await evo.end(record, EvoSweepStatus.FAILED, str(error))
    get_run_logger().info("%s: %s", record.status.value, record.reason)
    match record.status:
        case EvoSweepStatus.COMPLETED:
            return Completed(message=record.reason)
        case EvoSweepStatus.STOPPED:
            return Cancelled(message=record.reason)
        case _:
            return Failed(message=record.reason)


class Sweeper:
    """Drives one sweep: asks, creates runs, waits, tells; every step is saved before the next.

    Args:
        work: the session of the sweep.
        record: its durable record.
        study: restored from the record.
    """

    def __init__(self, work: Work, record: EvoSweepRecord, study: "Study") -> None:
        self.work = work
        self.position, self.stores, self.control = work.position, work.stores, work.control
        self.record = record
        self.study = study
        self.spec: EvoSweepSpec = record.state.spec
        self._happened = work.control.activity.branch()
        self._ended_series: dict[str, list[MetricPoint]] = {}

    @classmethod
    async def of(cls, work: Work, record: EvoSweepRecord) -> "Sweeper":
        """The sweeper of a record, where it was left."""
        # Optuna and SciPy take a second to load, which would hold up every flow of this worker;
        # and a worker without sweeps does without them.
        module = await asyncio.to_thread(importlib.import_module, "wildloop.flows.search.study")
        study = module.Study(record.state.spec, record.state.seed)
        study.restore(record.state.trials)
        sweeper = cls(work, record, study)
        for trial in study.trials:
            sweeper._link(trial.run_id)
        return sweeper

    async def drive(self) -> None:
        """Carry the sweep to its end, which is noted in the record."""
        while True:
            # Cleared before the look: what happens from now on ends the sleep after it.
            self._happened.clear()
            self._check()
            if (stop := await self.stores.evo.requested_stop(self.record)) is not None:
                return await self._stop(stop)
            await self._launch()
            runs = await self._runs()
            told = self._tell({run.id: run for run in runs})
            closing = self._closing(runs)
            asked = [] if closing else await self._ask(runs)
            if told or asked:
                await self._save()
            if asked:
                continue
            if self.study.done or (closing and not self.study.pending):
                return await self._finish(closing)
            await self._prune(runs)
            await self.control.guard(self._sleep())

    def _check(self) -> None:
        """Raise if the session, or the sweep with it, is to end."""
        self.control.check()
        if self.work.sweeping is not None and self.work.sweeping.is_to_end:
            raise SweepLeft("its session ends")

    async def _runs(self) -> list[Run]:
        return await self.stores.runs.all(chat_session_id=self.position.id)

    async def _sleep(self) -> None:
        prunes = self.spec.pruner is not PrunerKind.NONE
        seconds = PRUNE_SECONDS if prunes else CHECK_SECONDS
        await self.control.something_happens(seconds, self._happened)

    async def _save(self) -> None:
        self.record.state = self.study.state()
        await self.stores.evo.save(self.record)

    async def _launch(self) -> None:
        """Create the runs of the trials that have none; by their keys none is created twice."""
        waiting = [trial for trial in self.study.pending if trial.run_id is None]
        for trial in waiting:
            self._check()
            spec = trial_run(self.record, trial, self.position.workdir)
            key = f"{self.position.id}:{self.record.label}:{self.record.name}:{trial.number}"
            try:
                run = await self.stores.runs.create(
                    RunCreate(**spec.model_dump(), auto_start=True), idempotency_key=key
                )
            except BudgetSpent as refused:
                # Others have taken what was left since the trial was asked for.
                self.study.tell(trial.number, Failure(reason=str(refused)))
                continue
            self.study.assign(trial.number, run.id)
            self._link(run.id)
        if waiting:
            await self._save()
            await self.position.save()

    def _link(self, run_id: str | None) -> None:
        """Note a run with the call that asked for the sweep: its budget counts there."""
        asking = self._asking()
        if run_id and asking is not None and run_id not in asking.run_ids:
            asking.run_ids.append(run_id)

    def _asking(self) -> IterationRecord | None:
        """The call that asked for the sweep."""
        calls = reversed(self.position.record.iterations)
        return next((it for it in calls if it.label == self.record.label), None)

    def _tell(self, runs: dict[str, Run]) -> bool:
        """Tell the study what has ended; return whether anything had."""
        told = False
        for trial in self.study.pending:
            run = runs.get(trial.run_id or "")
            if run is None:
                self.study.tell(trial.number, Failure(reason="its run is gone"))
            elif not run.status.is_terminal:
                continue
            else:
                is_pruned = trial.number in self.record.pruning and run.status is RunStatus.STOPPED
                outcome = outcome_of(run, self.spec.fitness_metric, is_pruned)
                self.study.tell(trial.number, outcome, pruned=is_pruned)
            told = True
        return told

    def _closing(self, runs: list[Run]) -> str | None:
        """Why no further trial may be asked for; None if one may."""
        ended = [trial for trial in self.study.trials if trial.status.is_terminal]
        enough = min(max(MIN_ALL_FAILED, self.spec.population_size), self.spec.budget)
        if len(ended) >= enough and all(one.status is TrialStatus.FAILED for one in ended):
            return f"All of the first {len(ended)} trials failed; the last: {ended[-1].error}"
        if len(self.study.trials) >= self.spec.budget:
            return None
        used = spending(self.position.record, runs)
        limit = refusal(self.position.spec.budget, used, new_runs=1)
        return f"The session's {limit.text}." if limit is not None else None

    async def _ask(self, runs: list[Run]) -> list[Trial]:
        """New trials: as many as keep all slots at work and one run waiting."""
        room = self.spec.population_size
        if self.spec.gpus:
            slots = (await self.stores.cluster.capacity()).g
            room = min(room, max(1, slots // self.spec.gpus) + 1)
        room -= len(self.study.pending)
        if (bound := self.position.spec.budget.runs) is not None:
            room = min(room, bound - len(runs))
        return await asyncio.to_thread(self.study.ask, max(0, room))

    async def _prune(self, runs: list[Run]) -> None:
        """Stop the running trials that the pruner gives up, by their metrics so far."""
        if self.spec.pruner is PrunerKind.NONE:
            return
        own = {run.id: run for run in runs if run.sweep_id == self.record.sweep_id}
        series = await asyncio.to_thread(self._series, list(own.values()))
        for trial in self.study.pending:
            run = own.get(trial.run_id or "")
            if run is None or run.status is not RunStatus.RUNNING:
                continue
            others = [points for id, points in series.items() if id != run.id]
            if trial.number in self.record.pruning or not self.study.should_prune(
                trial, series[run.id], others
            ):
                continue
            # Noted first: after a restart the stopped run must not be taken for a failed one.
            self.record.pruning.append(trial.number)
            await self._save()
            get_run_logger().info("trial %d is stopped early", trial.number)
            try:
                await self.stores.runs.stop(run.id)
            except InvalidTransition:
                get_run_logger().info("trial %d had just ended", trial.number)

    def _series(self, runs: list[Run]) -> dict[str, list[MetricPoint]]:
        found = {}
        for run in runs:
            points = self._ended_series.get(run.id)
            if points is None:
                metrics = measured(run)
                name = match(self.spec.fitness_metric, metrics.series).found
                points = metrics.series[name] if name is not None else []
            if run.status.is_terminal:
                self._ended_series[run.id] = points
            found[run.id] = points
        return found

    async def _stop(self, stop: EvoSweepStop) -> None:
        """End at once, by request: what has not ended has no outcome any more."""
        await self.stores.evo.stop_runs(self.record, running=stop.runs == "stop")
        self._tell({run.id: run for run in await self._runs()})
        for trial in self.study.pending:
            self.study.tell(trial.number, Failure(reason="the sweep was stopped before it ended"))
        await self._end(EvoSweepStatus.STOPPED, "Stopped by request.")

    async def _finish(self, closing: str | None) -> None:
        trials = self.study.trials
        if closing is not None:
            hopeless = all(one.status is TrialStatus.FAILED for one in trials)
            await self._end(EvoSweepStatus.FAILED if hopeless else EvoSweepStatus.STOPPED, closing)
        elif self.study.exhausted:
            reason = f"All {len(trials)} configurations of the search space were tried."
            await self._end(EvoSweepStatus.COMPLETED, reason)
        else:
            await self._end(EvoSweepStatus.COMPLETED, f"All {len(trials)} trials have ended.")

    async def _end(self, status: EvoSweepStatus, reason: str) -> None:
        """Draw, and note the end."""
        self.record.state = self.study.state()
        plots = await asyncio.to_thread(importlib.import_module, "wildloop.flows.search.plots")
        folder = self.position.paths.root / "evo" / self.record.label
        drawn = await asyncio.to_thread(
            plots.draw_sweep_plots, folder, self.spec, self.study.trials
        )
        self.record.plots = [str(path) for path in drawn]
        await self.stores.sweeps.refresh(self.record.sweep_id)
        await self.stores.evo.end(self.record, status, reason)


def outcome_of(run: Run, metric: str, is_pruned: bool = False) -> float | Failure:
    """What an ended run means for its trial: the fitness, or why there is none."""
    if run.status is RunStatus.FINISHED or is_pruned:
        found = match(metric, run.metrics).found
        if found is not None:
            return run.metrics[found]
        known = ", ".join(list(run.metrics)[:10]) or "no metric at all"
        return Failure(reason=f"its run has no metric '{metric}' (it has {known})")
    if run.status is RunStatus.STOPPED:
        return Failure(reason="its run was stopped")
    return Failure(reason=run.error or "its run failed")


def trial_run(record: EvoSweepRecord, trial: Trial, project_root: Path) -> RunSpec:
    """The run of a trial: the script with the parameters as `--key=value`."""
    spec = record.state.spec
    request = ExperimentRequest(
        goal=record.name,
        command=command_of(spec.target_script),
        workdir=spec.workdir,
        parameters=trial.parameters,
        gpus=spec.gpus,
        **wish_of(spec),
        timeout_seconds=spec.timeout_per_run,
        name=f"{record.name[:80]} g{trial.generation + 1} t{trial.number:02d}",
    )
    run = request.to_run_spec(project_root, record.session_id, record.sweep_id)
    return run.model_copy(update={"metric": spec.fitness_metric})


def command_of(target_script: str) -> str:
    """The command of a script; a bare `train.py` is run by python, a bare `train.sh` by bash."""
    first = target_script.split()[0]
    interpreter = INTERPRETERS.get(Path(first).suffix)
    return f"{interpreter} {target_script}" if interpreter else target_script
