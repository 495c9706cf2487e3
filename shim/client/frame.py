"""Runs as a table."""

import importlib
from collections.abc import Sequence
from typing import Any, Literal

from wildloop.flows.models.run import Run
from wildloop.shim.client.errors import ClientError

Library = Literal["pandas", "polars"]
LIBRARIES: tuple[Library, ...] = ("pandas", "polars")


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row a run, all with the same columns: parameters and metrics each have one of their own.

    `duration_seconds` is that of the command, up to its end; times are Unix seconds.
    """
    found = [_row(run) for run in runs]
    columns = dict.fromkeys(name for row in found for name in row)
    return [{name: row.get(name) for name in columns} for row in found]


def _row(run: Run) -> dict[str, Any]:
    seconds = None
    if run.finished_at is not None and run.started_at is not None:
        seconds = run.finished_at - run.started_at
    return {
        "id": run.id,
        "name": run.name,
        "status": run.status.value,
        "session": run.chat_session_id,
        "sweep": run.sweep_id,
        "command": run.command,
        "workdir": run.workdir,
        "seed": run.seed,
        "gpus": len(run.gpus) or run.gpus_requested,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_seconds": seconds,
        "exit_code": run.exit_code,
        "error": run.error,
        "git_commit": run.git_commit,
        **{f"parameters.{name}": value for name, value in run.parameters.items()},
        **{f"metrics.{name}": value for name, value in run.metrics.items()},
    }


def to_frame(runs: Sequence[Run], library: Library | None = None) -> Any:
    """A data frame of pandas or polars; without `library`, of the first one that is installed.

    Raises:
        ClientError: it is not installed.
    """
    for name in LIBRARIES if library is None else (library,):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        table = rows(runs)
        # Polars finds a column's type by all rows: the first hundred may lack the metric.
        options = {"infer_schema_length": None} if name == "polars" else {}
        return module.DataFrame(table, **options)
    wanted = library or " or ".join(LIBRARIES)
    raise ClientError(f"a data frame needs {wanted}: install it beside wildloop")
