"""Commands about runs."""

import sys
import time
from typing import Annotated

import typer

from wildloop.flows.models.run import RunStatus
from wildloop.shim.cli.best import print_configurations
from wildloop.shim.cli.follow import follow_log
from wildloop.shim.cli.here import session_here
from wildloop.shim.cli.output import fail, note_full_disk, print_json
from wildloop.shim.cli.research import Json
from wildloop.shim.cli.server import server
from wildloop.shim.cli.table import print_table


def runs(
    session: Annotated[str | None, typer.Option(help="Of this session.")] = None,
    sweep: Annotated[str | None, typer.Option(help="Of this sweep.")] = None,
    status: Annotated[RunStatus | None, typer.Option(help="With this status.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 50,
    group: Annotated[
        bool,
        typer.Option(
            "--group",
            help="By configuration: mean, spread and seeds (default: of the session where you "
            "stand).",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the runs, newest first; or by configuration, as the session's account has them."""
    note_full_disk()
    client = server()
    if group:
        if sweep is not None or status is not None:
            fail("--group tells of a whole session: leave out --sweep and --status")
        account = client.evidence(session_here(client, session).session_id)
        if as_json:
            print_json(account.configurations)
        else:
            print_configurations(account)
        return
    found = client.runs(
        limit=limit,
        status=status.value if status else None,
        sweep_id=sweep,
        chat_session_id=client.full_id("session", session) if session else None,
    )
    if as_json:
        print_json(found)
        return
    rows = []
    for run in found:
        seconds = (
            f"{(run.finished_at or time.time()) - run.started_at:.1f}" if run.started_at else ""
        )
        metrics = ", ".join(f"{key}={value:.4g}" for key, value in list(run.metrics.items())[:3])
        code = "" if run.exit_code is None else str(run.exit_code)
        state = f"{run.status.value}: {run.reason}" if run.reason else run.status.value
        memory = f"{run.peak_memory / 1e6:.0f} MB" if run.peak_memory else ""
        rows.append((run.id[:8], run.name, state, code, seconds, memory, metrics))
    print_table(("run", "name", "status", "exit", "seconds", "memory", "metrics"), rows)


def logs(
    run: Annotated[str, typer.Argument(help="Run id or its beginning.")],
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Until the run ends.")] = False,
    tail: Annotated[int | None, typer.Option(min=1, help="Only the last bytes.")] = None,
) -> None:
    """Print a run's log."""
    client = server()
    run_id = client.full_id("run", run)
    offset = -tail if tail is not None else 0
    if follow:
        parts = follow_log(client.http, run_id, offset, note=_note)
    else:
        parts = client.log(run_id, offset, _note)
    for content in parts:
        sys.stdout.write(content)
        sys.stdout.flush()


def _note(text: str) -> None:
    typer.echo(f"wildloop: {text}", err=True)


def rerun(
    run: Annotated[str, typer.Argument(help="Run id or its beginning.")],
    exact: Annotated[
        bool,
        typer.Option("--exact", help="The code of the first time, in a worktree."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Repeat a run: same command, parameters and seed."""
    client = server()
    made = client.rerun(client.full_id("run", run), exact=exact)
    if as_json:
        print_json(made)
        return
    typer.echo(f"run {made.id} repeats {made.parent_run_id}: {made.status.value}")


def cancel(
    run: Annotated[str, typer.Argument(help="Run id or its beginning.")], as_json: Json = False
) -> None:
    """Stop a run."""
    client = server()
    stopped = client.stop_run(client.full_id("run", run))
    if as_json:
        print_json(stopped)
        return
    typer.echo(f"run {stopped.id}: {stopped.status.value}, asked to stop")
