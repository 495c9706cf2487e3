"""`wildloop report`: the report, printed or as a file to send away."""

from pathlib import Path
from typing import Annotated

import typer

from wildloop.shim.cli.here import All, Project, session_here
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.research import Json, SessionId
from wildloop.shim.cli.server import server

TABLES = (".tex", ".csv")
FileOption = Path | None


def report(
    session: SessionId = None,
    project: Project = None,
    everywhere: All = False,
    now: Annotated[
        bool, typer.Option("--now", help="Make it anew, also where there is a final one.")
    ] = False,
    html: Annotated[FileOption, typer.Option(help="Write one page with its plots here.")] = None,
    pdf: Annotated[FileOption, typer.Option(help="Write a PDF here.")] = None,
    md: Annotated[FileOption, typer.Option(help="Write Markdown with its plots here.")] = None,
    table: Annotated[
        FileOption, typer.Option(help="Write the ranked table here: FILE.tex or FILE.csv.")
    ] = None,
    csv: Annotated[FileOption, typer.Option(help="Write the table of all runs here.")] = None,
    as_json: Json = False,
) -> None:
    """Print the report; while the session goes on, how it stands.

    What --html, --pdf and --md write is whole by itself, without links into this machine, its
    paths or secrets.
    """
    if table is not None and table.suffix not in TABLES:
        fail(f"'{table}' has to end in .tex (LaTeX) or .csv: that tells what to write")
    client = server()
    path, params = (
        f"/wild/v2/report/{session_here(client, session, project, everywhere).session_id}",
        {"now": now},
    )
    wanted = {
        "share/html": html,
        "share/pdf": pdf,
        "share/md": md,
        f"table/{table.suffix[1:] if table is not None else ''}": table,
        "runs.csv": csv,
    }
    for kind, file in wanted.items():
        if file is not None:
            # The ranked table is always made anew.
            given = {} if file is table else params
            write_file(file, client.content(f"{path}/{kind}", params=given))
    if any(wanted.values()):
        return
    found = client.request("GET", path, params=params)
    if as_json:
        print_json(found)
        return
    typer.echo(found["report"])
    for name in ("report_path", "page_path"):
        if found.get(name):
            typer.echo(f"({found[name]})")


def write_file(file: Path, content: bytes) -> None:
    """Write a file and say where it is; a fault ends the command."""
    try:
        file.write_bytes(content)
    except OSError as error:
        fail(f"'{file}' cannot be written ({error.strerror}): give another path")
    typer.echo(f"written: {file}")
