"""The driver of a sweep, on a session whose runs end by themselves."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from wildloop.flows.errors import InvalidTransition
from wildloop.flows.loop import evo_sweep
from wildloop.flows.loop.evo_sweep import Sweeper, command_of, outcome_of, trial_run
from wildloop.flows.loop.sweeping import script_faults
from wildloop.flows.loop.under_way import Sweeping, SweepLeft
from wildloop.flows.models.evo import EvoSweepSpec, EvoSweepState, Failure, Trial, TrialStatus
from wildloop.flows.models.evo_sweep import EvoSweepRecord, EvoSweepStatus, EvoSweepStop
from wildloop.flows.models.run import Run, RunCreate, RunStatus
from wildloop.flows.models.session_options import Budget, SessionSpec
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.run.control import Activity, RunControl
from wildloop.flows.search.summary import sweep_markdown, sweep_results, told_by
from wildloop.flows.session.position import Position

SPEC: dict[str, Any] = {
    "target_script": "train.py",
    "fitness_metric": "score",
    "search_space": {"x": {"low": -1.0, "high": 1.0}},
    "population_size": 4,
    "generations": 2,
}


class Crash(Exception):
    """The worker dies."""


class Runs:
    """Runs by idempotency key; each ends at the next look, as `outcome` says."""

    def __init__(self, folder: Path, outcome: Callable[[Run], dict[str, Any]]) -> None:
        self.folder = folder
        self.outcome = outcome
        self.by_key: dict[str, Run] = {}
        self.stopped: list[str] = []
        self.most_at_once = 0

    async def create(self, body: RunCreate, idempotency_key: str) -> Run:
        if idempotency_key not in self.by_key:
            id = f"run-{len(self.by_key)}"
            self.by_key[idempotency_key] = Run(
                id=id,
                name=body.name,
                command=body.command,
                workdir=body.workdir or "",
                status=RunStatus.RUNNING,
                parameters=body.parameters,
                sweep_id=body.sweep_id,
                created_at=len(self.by_key),
                run_dir=str(self.folder / id),
            )
        active = [run for run in self.by_key.values() if not run.status.is_terminal]
        self.most_at_once = max(self.most_at_once, len(active))
        return self.by_key[idempotency_key]

    async def stop(self, run_id: str) -> None:
        for key, run in self.by_key.items():
            if run.id == run_id:
                if run.status.is_terminal:
                    raise InvalidTransition("run", run_id, run.status, "stopped")
                self.by_key[key] = run.model_copy(update={"status": RunStatus.STOPPED})
                self.stopped.append(run_id)

    async def all(self, chat_session_id: str) -> list[Run]:
        for key, run in self.by_key.items():
            if not run.status.is_terminal:
                self.by_key[key] = run.model_copy(update=self.outcome(run))
        return list(self.by_key.values())


class Records:
    """The durable record; dies at the n-th save, before or after it is written."""

    def __init__(self) -> None:
        self.saved: str | None = None
        self.stop: EvoSweepStop | None = None
        self.saves_left = -1

    async def save(self, record: EvoSweepRecord) -> None:
        self.saves_left -= 1
        if self.saves_left == 0:
            raise Crash
        self.saved = record.model_dump_json()

    async def end(self, record: EvoSweepRecord, status: EvoSweepStatus, reason: str) -> None:
        record.status, record.reason = status, reason
        await self.save(record)

    async def requested_stop(self, record: EvoSweepRecord) -> EvoSweepStop | None:
        return self.stop

    async def stop_runs(self, record: EvoSweepRecord, *, running: bool) -> list[str]:
        return []


class Unsaved(Position):
    """A position whose server is out of the question."""

    async def save(self) -> None:
        pass


class Bench:
    """A session as far as a sweep sees it."""

    def __init__(self, tmp_path: Path, **fields: Any) -> None:
        self.runs = Runs(tmp_path, finished)
        self.evo = Records()
        self.refreshed: list[str] = []
        self.slots = 2
        asking = IterationRecord(index=1, started_at=0.0)
        self.record = EvoSweepRecord(
            session_id="s",
            label=asking.label,
            sweep_id="w",
            name="the sweep",
            created_at=0.0,
            state=EvoSweepState(spec=EvoSweepSpec.model_validate(SPEC | fields), seed=1),
        )
        no_client: Any = None
        spec = SessionSpec(goal="g", workdir=str(tmp_path))
        record = SessionRecord(session_id="s", iterations=[asking])
        self.position = Unsaved(no_client, spec, record)
        self.work: Any = SimpleNamespace(
            position=self.position,
            control=RunControl(),
            sweeping=None,
            stores=SimpleNamespace(
                runs=self.runs,
                evo=self.evo,
                cluster=SimpleNamespace(capacity=self._capacity),
                sweeps=SimpleNamespace(refresh=self._refresh),
            ),
        )

    async def _capacity(self) -> Any:
        return SimpleNamespace(g=self.slots)

    async def _refresh(self, sweep_id: str) -> None:
        self.refreshed.append(sweep_id)

    async def drive(self) -> EvoSweepRecord:
        """Drive from what was saved last."""
        if self.evo.saved is not None:
            self.record = EvoSweepRecord.model_validate_json(self.evo.saved)
        with disable_run_logger():
            await (await Sweeper.of(self.work, self.record)).drive()
        return self.record


def finished(run: Run) -> dict[str, Any]:
    return {"status": RunStatus.FINISHED, "metrics": {"score": -(run.parameters["x"] ** 2)}}


def failed(run: Run) -> dict[str, Any]:
    return {"status": RunStatus.FAILED, "error": "exit code 3"}


async def test_all_trials_are_run_within_the_slots_and_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    record = await bench.drive()
    assert record.status is EvoSweepStatus.COMPLETED
    assert len(bench.runs.by_key) == 8
    assert bench.runs.most_at_once == bench.slots + 1
    assert record.state.best is not None
    assert record.state.best.value == max(
        -(run.parameters["x"] ** 2) for run in bench.runs.by_key.values()
    )
    ids = [run.id for run in bench.runs.by_key.values()]
    assert bench.position.record.iterations[0].run_ids == ids
    assert all(Path(path).is_file() for path in record.plots)
    assert bench.refreshed == ["w"]


@pytest.mark.parametrize("crash_at", range(1, 9))
async def test_death_at_any_save_runs_no_trial_twice(tmp_path: Path, crash_at: int) -> None:
    bench = Bench(tmp_path)
    bench.evo.saves_left = crash_at
    with pytest.raises(Crash):
        await bench.drive()
    record = await bench.drive()
    assert record.status is EvoSweepStatus.COMPLETED
    assert len(bench.runs.by_key) == 8
    by_id = {run.id: run for run in bench.runs.by_key.values()}
    for trial in record.state.trials:
        assert trial.run_id is not None
        assert by_id[trial.run_id].parameters == trial.parameters


async def test_budget_of_runs_ends_the_sweep_with_what_it_has(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.position.spec.budget = Budget(runs=5)
    record = await bench.drive()
    assert len(bench.runs.by_key) == 5
    assert (record.status, record.state.best is not None) == (EvoSweepStatus.STOPPED, True)
    assert "runs 5 of 5" in record.reason


async def test_sweep_whose_first_trials_all_fail_is_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, generations=50)
    bench.runs.outcome = failed
    record = await bench.drive()
    assert record.status is EvoSweepStatus.FAILED
    assert "exit code 3" in record.reason
    assert len(bench.runs.by_key) <= 4 + bench.slots + 1
    assert record.plots == []


async def test_small_space_ends_when_every_configuration_was_tried(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_space={"x": [0, 1, 2]})
    record = await bench.drive()
    assert (record.status, len(record.state.trials)) == (EvoSweepStatus.COMPLETED, 3)
    assert "All 3 configurations" in record.reason


async def test_stop_gives_what_has_not_ended_no_outcome_but_ends_the_sweep(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def ask_to_stop(run: Run) -> dict[str, Any]:
        bench.evo.stop = EvoSweepStop()
        bench.work.control.activity.set()
        return {"status": RunStatus.RUNNING}

    bench.runs.outcome = ask_to_stop
    record = await bench.drive()
    assert (record.status, record.reason) == (EvoSweepStatus.STOPPED, "Stopped by request.")
    assert {one.status for one in record.state.trials} == {TrialStatus.FAILED}
    assert len(bench.runs.by_key) == 3


async def test_session_that_ends_leaves_the_record_as_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.work.sweeping = Sweeping("iteration-01", "w", task=None, is_to_end=True)  # type: ignore[arg-type]
    with pytest.raises(SweepLeft):
        await bench.drive()
    assert not bench.runs.by_key
    assert bench.record.status is EvoSweepStatus.RUNNING


async def test_hopeless_trial_is_stopped_and_told_by_its_last_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evo_sweep, "PRUNE_SECONDS", 0.01)
    bench = Bench(tmp_path, pruner="median", generations=1, population_size=5, gpus=0)
    hopeless = "run-4"

    def outcome(run: Run) -> dict[str, Any]:
        value = 0.1 if run.id == hopeless else 0.9
        folder = Path(run.run_dir)
        folder.mkdir(exist_ok=True)
        rows = [json.dumps({"score": value, "step": step}) + "\n" for step in range(5)]
        (folder / "metrics.jsonl").write_text("".join(rows))
        word = RunStatus.RUNNING if run.id == hopeless else RunStatus.FINISHED
        return {"status": word, "metrics": {"score": value}}

    bench.runs.outcome = outcome
    record = await bench.drive()
    assert bench.runs.stopped == [hopeless]
    assert record.status is EvoSweepStatus.COMPLETED
    assert [one.number for one in record.state.trials if one.status is TrialStatus.PRUNED] == [4]
    assert record.state.trials[4].value == 0.1


def run_of(status: RunStatus, **fields: Any) -> Run:
    return Run(
        id="r",
        name="r",
        command="c",
        workdir="/",
        status=status,
        created_at=0,
        run_dir="/",
        **fields,
    )


@pytest.mark.parametrize(
    ("run", "is_pruned", "expected"),
    [
        (run_of(RunStatus.FINISHED, metrics={"score": 2.0}), False, 2.0),
        (run_of(RunStatus.STOPPED, metrics={"score": 2.0}), True, 2.0),
        (run_of(RunStatus.STOPPED, metrics={"score": 2.0}), False, "its run was stopped"),
        (run_of(RunStatus.FAILED, error="exit code 1"), False, "exit code 1"),
        (
            run_of(RunStatus.FINISHED, metrics={"loss": 1.0}),
            False,
            "no metric 'score' (it has loss)",
        ),
        (run_of(RunStatus.FINISHED), False, "no metric at all"),
    ],
)
def test_outcome_of_a_run(run: Run, is_pruned: bool, expected: float | str) -> None:
    outcome = outcome_of(run, "score", is_pruned)
    if isinstance(expected, str):
        assert isinstance(outcome, Failure)
        assert expected in outcome.reason
    else:
        assert outcome == expected


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("train.py", "python train.py"),
        ("src/train.py --epochs 3", "python src/train.py --epochs 3"),
        ("train.sh", "bash train.sh"),
        ("python -m pkg.train", "python -m pkg.train"),
        ("./train", "./train"),
    ],
)
def test_command_of_a_script(script: str, command: str) -> None:
    assert command_of(script) == command


def test_run_of_a_trial_quotes_its_parameters(tmp_path: Path) -> None:
    bench = Bench(tmp_path, search_space={"x": ["a b; rm -rf /"]}, timeout_per_run=5, workdir="sub")
    trial = Trial(number=0, generation=0, parameters={"x": "a b; rm -rf /"})
    spec = trial_run(bench.record, trial, tmp_path)
    assert spec.command == "python train.py '--x=a b; rm -rf /'"
    assert spec.parameters == trial.parameters
    assert (spec.workdir, spec.timeout_seconds) == (str(tmp_path / "sub"), 5)
    assert (spec.sweep_id, spec.chat_session_id) == ("w", "s")


def test_run_of_a_trial_takes_every_kind_of_value_and_a_name_of_any_length(tmp_path: Path) -> None:
    parameters: dict[str, Any] = {"lr": 0.01, "momentum": 0, "layers": 2, "act": "a b"}
    bench = Bench(tmp_path, search_space={name: [v] for name, v in parameters.items()}, gpus=2)
    bench.record.name = "n" * 200
    spec = trial_run(bench.record, Trial(number=5, generation=1, parameters=parameters), tmp_path)
    assert shlex.split(spec.command) == [
        "python", "train.py", "--lr=0.01", "--momentum=0", "--layers=2", "--act=a b",
    ]  # fmt: skip
    assert spec.gpus == 2 and spec.name.endswith(" g2 t05") and len(spec.name) <= 200


def test_script_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    spec = EvoSweepSpec.model_validate(SPEC)
    assert "no 'train.py'" in script_faults(spec, tmp_path)[0]
    assert (
        "'sub' does not exist"
        in script_faults(EvoSweepSpec.model_validate(SPEC | {"workdir": "sub"}), tmp_path)[0]
    )
    (tmp_path / "train.py").touch()
    assert script_faults(spec, tmp_path) == []


async def test_texts_tell_the_best_first_and_hold_no_foreign_markup(tmp_path: Path) -> None:
    bench = Bench(tmp_path, sweep_name="x\n# heading | bar")
    bench.record.name = "x\n# heading | bar"
    record = await bench.drive()
    assert record.state.best is not None
    told = sweep_results(record)
    rows = [line for line in told.splitlines() if line.startswith("| ")]
    assert rows[2].startswith(f"| {record.state.best.number} |")
    assert "\n# heading" not in told + sweep_markdown(record)[1:]
    assert f"(run {record.state.best.run_id})" in told


def test_trials_that_outlive_their_sweep_are_told_as_runs(tmp_path: Path) -> None:
    record = Bench(tmp_path).record
    trial = run_of(RunStatus.FINISHED, sweep_id="w", finished_at=10.0)
    assert told_by(record, trial)
    assert told_by(record.model_copy(update={"finished_at": 10.0}), trial)
    assert not told_by(record.model_copy(update={"finished_at": 9.0}), trial)
    assert not told_by(record, trial.model_copy(update={"sweep_id": "other"}))
    assert not told_by(None, trial)


def test_each_waiter_clears_its_own_event() -> None:
    activity = Activity()
    mine, other = activity.branch(), activity.branch()
    activity.set()
    mine.clear()
    activity.clear()
    assert (mine.is_set(), other.is_set(), activity.is_set()) == (False, True, False)
