"""Which session a command is about: that of the project one stands in."""

from pathlib import Path
from typing import Annotated

import typer

from wildloop.flows.models.session import Session
from wildloop.flows.project import FILE
from wildloop.shim.cli.output import fail
from wildloop.shim.client.api import ApiClient

Project = Annotated[
    Path | None,
    typer.Option("--project", help="The session of this project (default: where you stand)."),
]
All = Annotated[
    bool, typer.Option("--all", help="Whatever the project: the active session, else the latest.")
]


def session_here(
    client: ApiClient, session: str | None, project: Path | None = None, everywhere: bool = False
) -> Session:
    """The session that is named; else that of a project, the active one first.

    Where one stands in no project, it is the active or latest of all, as with `everywhere`.
    """
    if session is not None or everywhere:
        return client.session(session)
    folder = project_folder(project)
    if folder is None:
        return client.session()
    found = [one for one in client.sessions() if Path(one.workdir).resolve() == folder]
    active = [one for one in found if one.is_active]
    if not found:
        fail(f"no session of '{folder}' yet: `wildloop start` begins one, --all shows any other")
    return client.session((active or found)[0].session_id)


def project_folder(given: Path | None) -> Path | None:
    """The project of a folder: the nearest above it with a wildloop.toml; None if there is none."""
    start = (given or Path.cwd()).expanduser().resolve()
    found = next((one for one in (start, *start.parents) if (one / FILE).is_file()), None)
    return found or (start if given is not None else None)
