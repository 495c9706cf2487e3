"""Runs and series as two tables: CSV, or Parquet by polars or pandas."""

import csv
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wildloop.shim.cli.export.gathered import ExportedRun
from wildloop.shim.client.errors import ClientError
from wildloop.shim.client.frame import rows

Row = dict[str, Any]


def to_csv(runs: Sequence[ExportedRun], out: Path) -> list[str]:
    """Write `runs.csv` and `series.csv`; a line about each."""
    return [_csv(out / f"{name}.csv", table) for name, table in _tables(runs)]


def to_parquet(runs: Sequence[ExportedRun], out: Path) -> list[str]:
    """Write `runs.parquet` and `series.parquet`; a line about each.

    Raises:
        ClientError: neither polars nor pandas is installed.
    """
    return [_parquet(out / f"{name}.parquet", table) for name, table in _tables(runs)]


def _tables(runs: Sequence[ExportedRun]) -> list[tuple[str, list[Row]]]:
    table = rows([one.run for one in runs])
    levels = [{**row, "level": one.level} for row, one in zip(table, runs, strict=True)]
    series = [
        {"run": one.run.id, "name": one.run.name, "metric": name, "step": point.step,
         "time": point.time, "value": point.value}
        for one in runs
        for name, points in one.series.items()
        for point in points
    ]  # fmt: skip
    return [("runs", levels), ("series", series)]


def _csv(path: Path, table: Sequence[Row]) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]) if table else ["run"])
        writer.writeheader()
        writer.writerows(table)
    return f"{path} ({len(table)} rows)"


def _parquet(path: Path, table: Sequence[Row]) -> str:
    for name, method in (("polars", "write_parquet"), ("pandas", "to_parquet")):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        options = {"infer_schema_length": None} if name == "polars" else {}
        getattr(module.DataFrame(list(table), **options), method)(path)
        return f"{path} ({len(table)} rows)"
    raise ClientError(
        "--format parquet needs polars or pandas: pip install 'wildloop[parquet]', or take csv"
    )
