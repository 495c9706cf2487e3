"""Runs in an MLflow tracking store."""

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from wildloop.flows.models.run import RunStatus
from wildloop.shim.cli.export.gathered import ExportedRun, whole_steps
from wildloop.shim.cli.export.library import library

RUN_TAG = "wildloop.run_id"
BATCH = 1000
PARAMETERS = 100
LONGEST = 5000
_NO_NAME = re.compile(r"[^\w\-. :/]")
_STATUS = {
    RunStatus.FINISHED: "FINISHED",
    RunStatus.FAILED: "FAILED",
    RunStatus.STOPPED: "KILLED",
}


def to_mlflow(runs: Sequence[ExportedRun], out: Path, uri: str | None, experiment: str) -> str:
    """Write each run with its parameters, series and tags; what was done, in a line.

    Args:
        runs: what is written; one that was exported there before is replaced.
        out: a folder, for the store where no `uri` is given.
        uri: the tracking store (default: SQLite, `mlflow.db` in `out`).
        experiment: its name there.
    """
    mlflow = library("mlflow")
    store = uri or f"sqlite:///{(out / 'mlflow.db').resolve()}"
    client = mlflow.MlflowClient(tracking_uri=store)
    found = client.get_experiment_by_name(experiment)
    where = found.experiment_id if found else client.create_experiment(experiment)
    for one in runs:
        for old in client.search_runs([where], f"tags.`{RUN_TAG}` = '{one.run.id}'"):
            client.delete_run(old.info.run_id)
        _write(mlflow.entities, client, where, one)
    return f"{store} (experiment '{experiment}', {len(runs)} runs)"


def _write(entities: Any, client: Any, experiment: str, one: ExportedRun) -> None:
    run = one.run
    begun = run.started_at or run.created_at
    tags = {f"wildloop.{name}": value[:LONGEST] for name, value in one.facts.items()}
    if run.git_commit:
        tags["mlflow.source.git.commit"] = run.git_commit
    made = client.create_run(experiment, int(begun * 1000), tags, run.name).info.run_id
    parameters = [
        entities.Param(_named(name), str(value)[:LONGEST]) for name, value in one.settings.items()
    ]
    for start in range(0, len(parameters), PARAMETERS):
        client.log_batch(made, params=parameters[start : start + PARAMETERS])
    points = list(_metrics(entities, one))
    for start in range(0, len(points), BATCH):
        client.log_batch(made, metrics=points[start : start + BATCH])
    if run.status in _STATUS:
        ended = run.finished_at or time.time()
        client.set_terminated(made, _STATUS[run.status], int(ended * 1000))


def _metrics(entities: Any, one: ExportedRun) -> Iterator[Any]:
    """Every value; a point that tells no time has that of the run's end."""
    last = one.run.finished_at or one.run.started_at or one.run.created_at
    for name, points in one.series.items():
        for step, point in zip(whole_steps(points), points, strict=True):
            value = float("nan") if point.value is None else point.value
            moment = int((point.time or last) * 1000)
            yield entities.Metric(_named(name), value, moment, step)


def _named(name: str) -> str:
    """MLflow takes letters, digits and `-_. :/`."""
    return _NO_NAME.sub("_", name)
