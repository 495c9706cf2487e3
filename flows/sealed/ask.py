"""Asking the hold-out: its command, alone with the sealed data, on the outputs of a run."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wildloop.blocks.launchers import hiding
from wildloop.flows.errors import WildloopError
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.estimate import estimate_of
from wildloop.flows.evidence.settings import seed_of
from wildloop.flows.files.manifest import snapshot_of
from wildloop.flows.files.sealed import SealedFolder
from wildloop.flows.git.process import GitError
from wildloop.flows.metrics import final_metrics
from wildloop.flows.models.evidence import Direction
from wildloop.flows.models.run import Checkout, Run, RunStatus
from wildloop.flows.models.sealed import SealedReport, SealedValue
from wildloop.flows.run import checkout
from wildloop.flows.run.command import carry_out
from wildloop.flows.sealed.ladder import Released, read_ladder, write_ladder

NOT_FOR_IT = ("PREFECT_", "WILDLOOP_")
TAIL = 300


class NoSealedValue(WildloopError):
    """The hold-out's command gave no value for a run; the text says why."""


@dataclass(frozen=True)
class Holdout:
    """What is asked.

    Args:
        folder: with the sealed data.
        command: [holdout] command.
        timeout_seconds: of one run's evaluation.
        metric: its name.
        direction: whether larger or smaller is better.
        fault: why the data may not be called sealed; empty where they may.
    """

    folder: SealedFolder
    command: str
    timeout_seconds: float
    metric: str
    direction: Direction
    fault: str = ""


async def ask(holdout: Holdout, roles: Mapping[str, Configuration]) -> SealedReport:
    """Evaluate confirmed configurations on the sealed data; what the Ladder releases of them.

    Args:
        holdout: what is asked.
        roles: baseline and best.
    """
    ladder = read_ladder(holdout.folder.ladder, holdout.metric, holdout.direction)
    found = SealedReport(fault=holdout.fault)
    for role, one in roles.items():
        told = SealedValue(configuration=one.id, label=one.name, role=role, validation=one.compared)
        found.values.append(told)
        if one.id in ladder.answers:
            _tell(told, ladder.answers[one.id])
            continue
        values: dict[str, float] = {}
        faults: list[str] = []
        for run in _finished(one.own_runs):
            try:
                values[seed_of(run) or run.id] = await _value(holdout, run)
            except NoSealedValue as fault:
                faults.append(str(fault))
        told.runs = len(values)
        if not values or faults:
            told.note = f"no value: {faults[0] if faults else 'none of its own runs has finished'}"
            continue
        _tell(told, ladder.ask(one.id, estimate_of(values)))
        write_ladder(holdout.folder.ladder, ladder)
    found.asked = ladder.asked
    return found


def _tell(told: SealedValue, released: Released) -> None:
    told.value, told.half_width = released.value, released.half_width
    if released.value is None:
        told.note = f"not better than the best released so far, {released.best:.6g}, so not told"


def _finished(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.status is RunStatus.FINISHED]


async def _value(holdout: Holdout, run: Run) -> float:
    """The sealed value of one run; asked once, whatever dies meanwhile.

    Raises:
        NoSealedValue: the command failed, or told no value.
    """
    scratch = holdout.folder.asked / run.id
    if not (scratch / "done").exists():
        await _evaluate(holdout, run, scratch)
    metrics = await asyncio.to_thread(final_metrics, scratch)
    value = metrics.last.get(holdout.metric)
    if value is None:
        raise NoSealedValue(f"[holdout] command told no {holdout.metric} for {run.name}")
    return value


async def _evaluate(holdout: Holdout, run: Run, scratch: Path) -> None:
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    workdir, name = Path(run.workdir), f"sealed-{run.id}"
    snapshot = await asyncio.to_thread(snapshot_of, Path(run.run_dir))
    if snapshot is None or run.git_commit is None:
        raise NoSealedValue(f"the code of {run.name} is not known")
    code = Checkout(git_commit=run.git_commit, snapshot=snapshot)
    try:
        folder = await checkout.prepare(workdir, code, name)
        try:
            status = await _run(holdout, run, scratch, folder)
        finally:
            await checkout.release(workdir, name)
    except (checkout.CheckoutFailed, GitError, OSError) as error:
        raise NoSealedValue(f"{run.name} was not evaluated: {error}") from error
    if status != 0:
        # Its output may tell of the data: it stays in the sealed folder.
        raise NoSealedValue(f"[holdout] command ended with {status} for {run.name}")
    (scratch / "done").touch()


async def _run(holdout: Holdout, run: Run, scratch: Path, folder: Path) -> int | str:
    """Run the command; its exit code, or why there is none."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(NOT_FOR_IT)}
    env |= {
        "WILDLOOP_SEALED_DIR": str(holdout.folder.data),
        "WILDLOOP_EVALUATED_RUN_DIR": run.run_dir,
        "WILDLOOP_RUN_DIR": str(scratch),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    words = ["bash", "-c", holdout.command]
    if not holdout.fault:
        words = hiding.alone(scratch, folder, holdout.command)
    seconds = holdout.timeout_seconds
    with (scratch / "run.log").open("wb") as log:
        code = await carry_out(words, folder, env, seconds, log)
    return f"a time-out after {seconds:g} s" if code is None else code
