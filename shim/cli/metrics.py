"""`wildloop metrics`: what was seen of a run or a file, where, and what was taken for what."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.metrics import RunMetrics
from wildloop.flows.models.run import MetricPoint
from wildloop.flows.project import FILE, MetricConfig, load_project
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.research import Json
from wildloop.shim.client.api import ApiClient


def metrics(
    of: Annotated[str, typer.Argument(metavar="RUN|FILE", help="A run's id, or a file or folder.")],
    name: Annotated[
        str | None, typer.Option(help="The metric that is looked for (default: wildloop.toml's).")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option(help="Its regular expression, to try before it is written down.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what was measured, where it was seen, and what was taken for the project's metric."""
    # The readers bring Prefect's blocks along, which no other command's help needs.
    from wildloop.flows.metrics.one_file import read_path

    path = Path(of).expanduser()
    is_path = path.exists()
    found = read_path(path, _wanted(path, name, pattern)) if is_path else _of_run(of)
    if as_json:
        print_json(found)
        return
    show(found)


def show(found: RunMetrics) -> None:
    """Print a table of the metrics, and what is to be said of them."""
    from wildloop.flows.metrics.missing import unmeasured
    from wildloop.flows.metrics.one_file import shown_path

    aliases = {one.wanted: one.found for one in found.taken if one.found != one.wanted}
    table = Table("metric", "last", "points", "steps", "from")
    for name, points in found.series.items():
        if aliases.get(name) is None:
            last = found.last.get(name)
            text = "diverged" if last is None else f"{last:.6g}{found.units.get(name, '')}"
            origin = shown_path(found.origins.get(name, ""))
            table.add_row(name, text, str(len(points)), _steps(points), origin)
    if found.series:
        Console().print(table)
    else:
        typer.echo("no metric was seen")
    for one in found.taken:
        if one.found is not None:
            typer.echo(f"{one.wanted} is taken from '{one.found}' ({shown_path(one.source)})")
    if told := unmeasured(found):
        typer.echo(told)
    for note in found.notes:
        typer.echo(f"note: {note}")


def _steps(points: list[MetricPoint]) -> str:
    steps = [point.step for point in points if point.step is not None]
    return f"{min(steps):g} to {max(steps):g}" if steps else ""


def _wanted(path: Path, name: str | None, pattern: str | None) -> MetricConfig | None:
    try:
        project = next(
            (
                found
                for folder in (Path.cwd(), *path.resolve().parents)
                if (found := load_project(folder)) is not None
            ),
            None,
        )
    except InvalidRequest as error:
        fail(str(error))
    configured = project.metric if project is not None else None
    if name is None and configured is None:
        if pattern is not None:
            fail(f"--pattern needs a --name, where {FILE} names no metric", 2)
        return None
    return MetricConfig(
        name=name or (configured.name if configured is not None else ""),
        pattern=pattern or (configured.pattern if configured is not None else None),
    )


def _of_run(run: str) -> RunMetrics:
    client = ApiClient()
    view = client.metrics(client.full_id("run", run))
    return RunMetrics(
        series=view.series,
        last=view.last,
        sources=view.sources,
        notes=view.notes,
        taken=view.taken,
        origins=view.origins,
        units=view.units,
    )
