"""Commands about sessions."""

from pathlib import Path
from textwrap import indent, wrap
from typing import Annotated, Literal

import typer
from rich.console import Console

from wildloop.flows.keep.decide import describe
from wildloop.flows.models.keep import ResultsView
from wildloop.flows.models.session import Session, SessionStatus
from wildloop.flows.models.session_options import SessionStart
from wildloop.shim.cli.here import All, Project, session_here
from wildloop.shim.cli.options import with_session_options
from wildloop.shim.cli.output import fail, note_full_disk, print_json
from wildloop.shim.cli.server import server
from wildloop.shim.cli.table import print_table
from wildloop.shim.cli.view import follow, summary_lines

SessionId = Annotated[
    str | None, typer.Argument(help="Session id or its beginning (default: active, else latest).")
]
SessionOption = Annotated[
    str | None, typer.Option("--session", help="Session id or its beginning.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@with_session_options
def start(
    body: SessionStart,
    watch_it: Annotated[bool, typer.Option("--watch", help="Then watch it.")] = False,
    as_json: Json = False,
) -> None:
    """Start a research session."""
    workdir = Path(body.workdir or ".").expanduser().resolve()
    body = body.model_copy(update={"workdir": str(workdir)})
    client = server()
    session = client.start(body)
    if watch_it:
        follow(client, session.session_id, with_activity=True)
    else:
        show(session, as_json)


def status(
    session: SessionId = None,
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
    whole: Annotated[
        bool, typer.Option("--history", help="With --json: every call of the agent, whole.")
    ] = False,
) -> None:
    """Show a session's progress. The exit code is 1 where it has failed."""
    note_full_disk()
    client = server()
    found = session_here(client, session, project, everywhere)
    show(client.session(found.session_id, "all") if whole else found, as_json)
    if found.status is SessionStatus.FAILED:
        raise typer.Exit(1)


def sessions(as_json: Json = False) -> None:
    """List the sessions, newest first."""
    found = server().sessions()
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one.session_id[:8],
            one.status.value,
            f"{one.iteration}/{one.max_iterations}",
            str(one.runs.total),
            f"{one.best.value:.5g}" if one.best else "",
            one.goal[:60],
        )
        for one in found
    ]
    print_table(("session", "status", "iteration", "runs", "best", "goal"), rows)


def watch(session: SessionId = None, project: Project = None, everywhere: All = False) -> None:
    """Follow a session live until it ends: its progress, and what its agent does."""
    client = server()
    found = session_here(client, session, project, everywhere)
    follow(client, found.session_id, with_activity=True)


def steer(
    text: Annotated[str, typer.Argument(help="What the agent is to know.")],
    session: SessionOption = None,
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
) -> None:
    """Tell the agent something; it reads it in its next prompt."""
    client = server()
    found = session_here(client, session, project, everywhere)
    show(client.command("steer", found.session_id, context=text), as_json)


def pause(
    session: SessionOption = None,
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
) -> None:
    """Pause a session: its agent is ended, its runs go on."""
    client = server()
    found = session_here(client, session, project, everywhere)
    show(client.command("pause", found.session_id), as_json)


def resume(
    session: SessionOption = None,
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
) -> None:
    """Resume a paused session where it was."""
    client = server()
    found = session_here(client, session, project, everywhere)
    show(client.command("resume", found.session_id), as_json)


def stop(
    session: SessionOption = None,
    runs: Annotated[str, typer.Option(help="keep or stop the runs that run.")] = "keep",
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
) -> None:
    """Stop a session; its waiting runs are stopped too."""
    choice: Literal["keep", "stop"]
    if runs == "keep":
        choice = "keep"
    elif runs == "stop":
        choice = "stop"
    else:
        fail(f"--runs takes keep or stop, not '{runs}'", 2)
    client = server()
    found = session_here(client, session, project, everywhere)
    show(client.command("stop", found.session_id, runs=choice), as_json)


def plan(
    session: SessionId = None,
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
) -> None:
    """Print the plan (tasks.md)."""
    client = server()
    found = client.request(
        "GET", f"/wild/v2/plan/{session_here(client, session, project, everywhere).session_id}"
    )
    if as_json:
        print_json(found)
    else:
        typer.echo(found["plan"])


def results(
    session: SessionId = None,
    project: Project = None,
    everywhere: All = False,
    as_json: Json = False,
) -> None:
    """Show which changes were kept and discarded, and why."""
    client = server()
    found = ResultsView.model_validate(
        client.request(
            "GET",
            f"/wild/v2/results/{session_here(client, session, project, everywhere).session_id}",
        )
    )
    if as_json:
        print_json(found)
        return
    width = max(40, min(Console().width, 120))
    if not found.rows:
        typer.echo("no change has been judged yet (with `start --keep better` each one is)")
    for one in found.rows:
        score = "no value" if one.metric is None else f"{one.metric:.5g}"
        spread = "" if one.sd is None else f" ± {one.sd:.2g}"
        p = "" if one.p is None else f", p {one.p:.2g}"
        typer.echo(f"{one.iteration:>4}  {one.status.value}: {score}{spread} (n={one.n}){p}")
        for text in (f"{one.commit} {one.description}", one.why):
            lines = wrap(text, width - 6, max_lines=2, placeholder=" ...")
            typer.echo(indent("\n".join(lines), " " * 6))
    best = found.best
    if best is not None:
        commit = (best.commit or "")[:12]
        typer.echo(f"best: {describe(best)}, iteration {best.iteration}, commit {commit}")
    typer.echo(f"({found.results_path})")


def show(session: Session, as_json: bool) -> None:
    """Print a session."""
    if as_json:
        print_json(session)
    else:
        for line in summary_lines(session):
            typer.echo(line)
