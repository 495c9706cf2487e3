"""runs.csv: every run of a session with all that is known of it."""

import csv
import io
from typing import Any

from wildloop.flows.evidence.settings import seed_of
from wildloop.flows.report.facts import ReportFacts

FIELDS = (
    "id",
    "name",
    "call",
    "sweep_id",
    "status",
    "exit_code",
    "error",
    "seed",
    "command",
    "workdir",
    "git_commit",
    "host",
    "gpus",
    "created_at",
    "started_at",
    "finished_at",
    "run_dir",
    "ui_url",
)
# A spreadsheet takes text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def runs_csv(facts: ReportFacts) -> str:
    """The table: the fields, a column for each parameter, a column for each metric."""
    parameters = sorted({name for run in facts.every_run for name in run.parameters})
    metrics = sorted({name for run in facts.every_run for name in run.metrics})
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [*FIELDS, *(f"parameter.{name}" for name in parameters), *(f"metric.{n}" for n in metrics)]
    )
    for run in facts.every_run:
        known = run.model_dump(mode="json") | {
            "call": facts.label_of(run),
            "gpus": " ".join(run.gpus),
            "seed": seed_of(run),
        }
        cells = [known[name] for name in FIELDS]
        cells += [run.parameters.get(name) for name in parameters]
        cells += [run.metrics.get(name) for name in metrics]
        writer.writerow([safe_cell(cell) for cell in cells])
    return out.getvalue()


def safe_cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; empty for none."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
