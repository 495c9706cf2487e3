"""The command `wildloop init`."""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.project import FILE, load_project
from wildloop.shim.cli.output import fail


def init(
    workdir: Annotated[Path, typer.Option(help="The repository.")] = Path(),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write it without asking.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over the one there is.")] = False,
    goal: Annotated[str | None, typer.Option(help="What the research is to reach.")] = None,
    metric: Annotated[str | None, typer.Option(help="The metric that counts.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="A folder with data, to be linked.")] = None,
    evaluation: Annotated[
        str | None, typer.Option("--eval", help="How it is evaluated, in words.")
    ] = None,
) -> None:
    """Draft wildloop.toml from what is found in the repository, with reasons as comments."""
    # The readers of sources take a moment to load, which no other command needs.
    from wildloop.shim.cli.init.draft import Metric, choose_metric, draft
    from wildloop.shim.cli.init.repository import read_repository
    from wildloop.shim.cli.init.scripts import direction_of

    root = workdir.expanduser().resolve()
    path = root / FILE
    if not root.is_dir():
        fail(f"'{root}' is no folder: give another --workdir", 2)
    if path.exists() and not force:
        fail(f"{path} is there already: edit it, or write over it with --force", 2)
    found = read_repository(root)
    if data_dir is not None:
        folder = data_dir.rstrip("/").removeprefix("./")
        found.linked = list(dict.fromkeys([folder, *found.linked]))
    found.evaluation = evaluation or found.evaluation
    chosen = Metric(metric, direction_of(metric), "given") if metric else choose_metric(found)
    wanted = f"{goal or found.goal} (evaluation: {evaluation})" if evaluation else goal
    text = draft(found, chosen, wanted)
    tomllib.loads(text)
    typer.echo(text)
    if not yes and not typer.confirm(f"Write this to {path}?", default=True):
        raise typer.Exit(1)
    path.write_text(text, encoding="utf-8")
    try:
        load_project(root)
    except InvalidRequest as error:
        fail(f"the draft must be mended by hand: {error}")
    typer.echo(f"written: {path}")
    if found.train is None:
        typer.echo("no training script was recognised: fill in [train] command")
    elif chosen is None:
        typer.echo("no metric was recognised: fill in [metric], see `wildloop metrics FILE`")
    else:
        typer.echo("next: `wildloop up` in another terminal, then `wildloop start`")
