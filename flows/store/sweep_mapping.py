"""A sweep from its record and its runs, and the runs that a record asks for."""

from collections import Counter
from collections.abc import Sequence

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.evidence.table import run_table
from wildloop.flows.evidence.values import best_of
from wildloop.flows.models.compute import wish_of
from wildloop.flows.models.run import Run, RunCounts, RunCreate, RunStatus
from wildloop.flows.models.sweep import Sweep, SweepBest, SweepRecord, SweepRunCreate, sweep_status
from wildloop.flows.search.grid import expand, grid_specs, sweep_run


def sweep_markdown(record: SweepRecord, runs: list[Run]) -> str:
    """The sweep as a table of its runs."""
    head = f"## {record.name}\n\n{record.goal}\n"
    return f"{head}\n{run_table(runs)}\n"


def described(record: SweepRecord, runs: Sequence[Run]) -> str:
    """What a list of artifacts says of a sweep."""
    finished = sum(run.status is RunStatus.FINISHED for run in runs)
    best = best_run(list(runs), record.metric, record.direction)
    told = f", best {best.metric} {best.value:.5g}" if best is not None else ""
    return f"Sweep {record.name}: {finished} of {len(runs)} runs finished{told}"


def to_sweep(record: SweepRecord, runs: list[Run]) -> Sweep:
    """The sweep as the API shows it, from its record and its runs."""
    progress = RunCounts.of(Counter(run.status for run in runs))
    return Sweep(
        **record.model_dump(exclude={"status"}),
        status=sweep_status(record.status, progress),
        run_ids=[run.id for run in runs],
        progress=progress,
        best=best_run(runs, record.metric, record.direction),
    )


def best_run(runs: list[Run], metric: str | None, direction: str) -> SweepBest | None:
    """The finished run with the best last value of `metric`; None where there is none."""
    found = best_of(runs, metric, direction) if metric is not None else None
    if metric is None or found is None:
        return None
    value, run = found
    return SweepBest(run_id=run.id, run_name=run.name, metric=metric, value=value)


def with_grid(record: SweepRecord) -> SweepRecord:
    """The record with what its grid leaves out.

    Raises:
        InvalidRequest: a parameter or the command cannot be used.
    """
    grid = expand(record.parameters, record.max_runs or 1)
    changed = record.model_copy(update={"skipped": grid.skipped, "notes": grid.notes})
    grid_specs(changed)
    return changed


def run_of(record: SweepRecord, body: SweepRunCreate) -> RunCreate:
    """The run that a request adds to a sweep; what it leaves open is as the sweep has it."""
    if body.command:
        name, command = body.name or f"{record.name}-run"[:200], body.command
    elif record.base_command:
        spec = sweep_run(record, body.parameters, body.name or None)
        name, command = spec.name, spec.command
    else:
        raise InvalidRequest("command: the sweep has no base_command: give a command")
    inherited = {
        "workdir": record.workdir,
        "chat_session_id": record.chat_session_id,
        "researcher": record.researcher,
        "gpus": record.gpus,
        **(wish_of(record) if body.gpus or "gpus" not in body.model_fields_set else {}),
        "timeout_seconds": record.timeout_seconds,
    }
    given = body.model_dump(exclude_unset=True)
    fixed = {"name": name, "command": command, "sweep_id": record.id}
    return RunCreate.model_validate(inherited | given | fixed)
