"""Commands about the data that no agent and no run may read."""

from pathlib import Path
from typing import Annotated

import typer

from wildloop.blocks.launchers import hiding
from wildloop.flows.files.sealed import SealedFolder, sealed_home
from wildloop.flows.settings import wildloop_home
from wildloop.shim.cli.output import fail

app = typer.Typer(
    name="holdout",
    help="Data for the sealed value: hidden from agents and runs, asked at a session's end.",
    no_args_is_help=True,
)
Workdir = Annotated[Path, typer.Option(help="The project.")]


@app.command()
def add(
    path: Annotated[Path, typer.Argument(help="A file or folder, which is copied.")],
    workdir: Workdir = Path(),
) -> None:
    """Copy data into the sealed folder of a project, for `[holdout] command`."""
    if not path.exists():
        fail(f"'{path}' does not exist: give a file or folder")
    folder = SealedFolder(wildloop_home(), workdir)
    try:
        target = folder.add(path)
    except OSError as error:
        fail(f"'{path}' cannot be sealed ({error})")
    typer.echo(f"sealed: $WILDLOOP_SEALED_DIR/{target.name} ({folder.files()} files in all)")
    if path.resolve().is_relative_to(workdir.resolve()):
        typer.echo(
            f"'{path}' itself still lies in the project, where agents and runs read it, and git "
            "may know it: take it out"
        )
    if (fault := hiding.why_not(sealed_home(wildloop_home()))) is not None:
        typer.echo(f"runs are not kept from it here, so 'sealed' is not claimed: {fault}")


@app.command()
def show(workdir: Workdir = Path()) -> None:
    """Show how much is sealed, and what was released of it."""
    folder = SealedFolder(wildloop_home(), workdir)
    typer.echo(f"{folder.files() if folder.data.is_dir() else 0} files are sealed")
    if folder.ladder.exists():
        typer.echo(folder.ladder.read_text(encoding="utf-8").rstrip())
