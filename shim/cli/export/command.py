"""The command `wildloop export`."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wildloop.shim.cli.export.gathered import ExportedRun, gather
from wildloop.shim.cli.here import All, Project, session_here
from wildloop.shim.cli.output import fail
from wildloop.shim.cli.research import SessionId
from wildloop.shim.cli.server import server


class Format(StrEnum):
    """What runs are written as."""

    CSV = "csv"
    PARQUET = "parquet"
    MLFLOW = "mlflow"
    WANDB = "wandb"
    TENSORBOARD = "tensorboard"


def export(
    session: SessionId = None,
    format: Annotated[
        str, typer.Option("--format", help=f"{', '.join(Format)}.", metavar="FORMAT")
    ] = "csv",
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("wildloop-export"),
    to: Annotated[
        str | None,
        typer.Option("--to", help="mlflow: the tracking URI (default: a SQLite file in --out)."),
    ] = None,
    project: Project = None,
    everywhere: All = False,
) -> None:
    """Write a session's runs for other tools: parameters, series, last values, level of evidence.

    csv and parquet: the tables runs and series. mlflow: an experiment. wandb: offline runs.
    tensorboard: event files.
    """
    if format not in list(Format):
        fail(f"--format takes one of {', '.join(Format)}, not '{format}'", 2)
    if to is not None and format != Format.MLFLOW:
        fail("--to is for --format mlflow: elsewhere --out says where", 2)
    client = server()
    found = session_here(client, session, project, everywhere)
    name = f"wildloop-{Path(found.workdir).name}"
    runs = gather(client, found.session_id)
    out.mkdir(parents=True, exist_ok=True)
    for line in write(Format(format), runs, out, to, name):
        typer.echo(f"written: {line}")


def write(
    format: Format, runs: Sequence[ExportedRun], out: Path, uri: str | None, name: str
) -> list[str]:
    """Write the runs; a line about each thing that was written.

    Args:
        format: the library of a tracker is imported only where its format is asked for.
        runs: what is written.
        out: the folder.
        uri: MLflow's store, where it is not to be in `out`.
        name: what the runs are kept together by: W&B's project, MLflow's experiment.

    Raises:
        ClientError: a library is missing.
    """
    if format is Format.MLFLOW:
        from wildloop.shim.cli.export.mlflow import to_mlflow

        return [to_mlflow(runs, out, uri, name)]
    if format is Format.WANDB:
        from wildloop.shim.cli.export.wandb import to_wandb

        return [to_wandb(runs, out, name)]
    if format is Format.TENSORBOARD:
        from wildloop.shim.cli.export.tensorboard import to_tensorboard

        return [to_tensorboard(runs, out)]
    from wildloop.shim.cli.export.tables import to_csv, to_parquet

    return to_csv(runs, out) if format is Format.CSV else to_parquet(runs, out)
