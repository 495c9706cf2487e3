"""`wildloop export`: a session's runs and series as files for other tools."""

import csv
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from wildloop.flows.models.evidence import AccountView
from wildloop.shim.cli.here import All, Project, session_here
from wildloop.shim.cli.output import fail
from wildloop.shim.cli.research import SessionId
from wildloop.shim.cli.server import server
from wildloop.shim.client.api import ApiClient
from wildloop.shim.client.frame import rows

PAGE = 1000
FORMATS = ("csv", "parquet")
Row = dict[str, Any]


def export(
    session: SessionId = None,
    format: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("wildloop-export"),
    project: Project = None,
    everywhere: All = False,
) -> None:
    """Write a session's runs (parameters, last values, level of evidence) and metric series."""
    if format not in FORMATS:
        fail(f"--format takes {' or '.join(FORMATS)}, not '{format}'", 2)
    client = server()
    found = session_here(client, session, project, everywhere)
    tables = {
        "runs": run_rows(client, found.session_id),
        "series": series_rows(client, found.session_id),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        path = out / f"{name}.{format}"
        write = write_csv if format == "csv" else write_parquet
        write(path, table)
        typer.echo(f"written: {path} ({len(table)} rows)")


def run_rows(client: ApiClient, session_id: str) -> list[Row]:
    """A row a run, with its level of evidence."""
    runs = client.runs(limit=PAGE, chat_session_id=session_id)
    answer = client.request("GET", f"/wild/v2/evidence/{session_id}")
    account = AccountView.model_validate(answer)
    levels = {run.run_id: run.level.value for one in account.configurations for run in one.runs}
    return [{**row, "level": levels.get(row["id"], "claimed")} for row in rows(runs)]


def series_rows(client: ApiClient, session_id: str) -> list[Row]:
    """A row a value: run, metric, step, time, value; at most about 500 of each series."""
    found = []
    for run in client.runs(limit=PAGE, chat_session_id=session_id):
        for name, points in client.metrics(run.id).series.items():
            found += [
                {"run": run.id, "name": run.name, "metric": name, "step": point.step,
                 "time": point.time, "value": point.value}
                for point in points
            ]  # fmt: skip
    return found


def write_csv(path: Path, table: Sequence[Row]) -> None:
    """Write a table as CSV, with a header."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]) if table else ["run"])
        writer.writeheader()
        writer.writerows(table)


def write_parquet(path: Path, table: Sequence[Row]) -> None:
    """Write a table as Parquet, by polars or pandas."""
    for name, method in (("polars", "write_parquet"), ("pandas", "to_parquet")):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        options = {"infer_schema_length": None} if name == "polars" else {}
        getattr(module.DataFrame(list(table), **options), method)(path)
        return
    fail("Parquet needs polars or pandas: install one beside wildloop, or use --format csv")
