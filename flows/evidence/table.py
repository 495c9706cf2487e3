"""Runs as a Markdown table, for reports and sweeps."""

from collections.abc import Sequence

from wildloop.flows.models.run import Run

METRICS = 4


def run_table(runs: Sequence[Run]) -> str:
    """One row a run, with a column for each of the first metrics."""
    if not runs:
        return "There are no runs yet."
    names = sorted({name for run in runs for name in run.metrics})[:METRICS]
    header = ["run", "status", "exit", "seconds", "seed", "parameters", *names]
    return "\n".join([row(header), "|" + " --- |" * len(header), *[_cells(r, names) for r in runs]])


def row(cells: Sequence[str]) -> str:
    """A table row; a bar inside a cell is escaped."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cells(run: Run, names: Sequence[str]) -> str:
    seconds = ""
    if run.started_at is not None and run.finished_at is not None:
        seconds = f"{run.finished_at - run.started_at:.1f}"
    return row(
        [
            f"[{run.name}]({run.ui_url})" if run.ui_url else run.name,
            run.status.value,
            "" if run.exit_code is None else str(run.exit_code),
            seconds,
            "" if run.seed is None else str(run.seed),
            ", ".join(f"{key}={value}" for key, value in run.parameters.items()),
            *[f"{run.metrics[name]:.5g}" if name in run.metrics else "" for name in names],
        ]
    )
