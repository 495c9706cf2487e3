"""Commands about sessions."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from flows.keep.decide import describe
from flows.models.keep import ResultsView
from flows.models.session import Session
from flows.models.session_options import Budget, SessionStart
from shim.cli.client import ApiClient
from shim.cli.output import fail, print_json
from shim.cli.view import follow, summary_lines

SessionId = Annotated[
    str | None, typer.Argument(help="Session id or its beginning (default: active, else latest).")
]
SessionOption = Annotated[
    str | None, typer.Option("--session", help="Session id or its beginning.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def start(
    goal: Annotated[str, typer.Argument(help="What the research is to reach.")],
    workdir: Annotated[Path, typer.Option(help="The project: a git repository.")] = Path(),
    agent: Annotated[
        str,
        typer.Option(
            help="baseline, claude, codex or opencode (each also as claude:<model>), "
            "openai:<model>@<API URL>, command:<shell command>, or a saved block-type/name."
        ),
    ] = "baseline",
    max_iterations: Annotated[int, typer.Option(min=1, help="Hard stop.")] = 25,
    wait_seconds: Annotated[float, typer.Option(help="Longest sleep after WAITING.")] = 30.0,
    iteration_timeout: Annotated[float, typer.Option(help="Seconds for one agent call.")] = 3600.0,
    branch: Annotated[str, typer.Option(help="new (wild/<session>) or current.")] = "new",
    autonomy: Annotated[str, typer.Option(help="cautious, balanced or full.")] = "balanced",
    budget_hours: Annotated[
        float | None, typer.Option(help="Wall-clock hours, pauses not counted.")
    ] = None,
    budget_gpu_hours: Annotated[float | None, typer.Option(help="Slot-hours of all runs.")] = None,
    budget_cost: Annotated[float | None, typer.Option(help="US dollars for the agent.")] = None,
    budget_runs: Annotated[int | None, typer.Option(help="Number of runs.")] = None,
    evo_sweep: Annotated[
        bool, typer.Option("--evo-sweep", help="The agent may ask for evolutionary sweeps.")
    ] = False,
    keep: Annotated[
        str, typer.Option(help="all, or better: discard what is not shown to beat the best so far.")
    ] = "all",
    keep_alpha: Annotated[
        float, typer.Option(help="With --keep better: chance of keeping noise.")
    ] = 0.05,
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Runs execute the code as it was at their creation.")
    ] = False,
    watch_it: Annotated[bool, typer.Option("--watch", help="Then watch it.")] = False,
    as_json: Json = False,
) -> None:
    """Start a research session."""
    try:
        body = SessionStart.model_validate(
            {
                "goal": goal,
                "workdir": str(workdir.expanduser().resolve()),
                "agent": agent,
                "max_iterations": max_iterations,
                "wait_seconds": wait_seconds,
                "iteration_timeout_seconds": iteration_timeout,
                "branch": branch,
                "autonomy_level": autonomy,
                "evo_sweep_enabled": evo_sweep,
                "keep": keep,
                "keep_alpha": keep_alpha,
                "isolation": "snapshot" if isolate else "none",
                "budget": Budget(
                    hours=budget_hours,
                    gpu_hours=budget_gpu_hours,
                    cost_usd=budget_cost,
                    runs=budget_runs,
                ),
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", 2)
    client = ApiClient()
    session = client.start(body)
    if watch_it:
        follow(client, session.session_id, with_activity=True)
    else:
        show(session, as_json)


def status(session: SessionId = None, as_json: Json = False) -> None:
    """Show a session's progress."""
    show(ApiClient().session(session), as_json)


def sessions(as_json: Json = False) -> None:
    """List the sessions, newest first."""
    found = ApiClient().sessions()
    if as_json:
        print_json(found)
        return
    table = Table("session", "status", "iteration", "runs", "best", "goal")
    for one in found:
        best = f"{one.best.value:.5g}" if one.best else ""
        table.add_row(
            one.session_id[:8],
            one.status.value,
            f"{one.iteration}/{one.max_iterations}",
            str(one.runs.total),
            best,
            one.goal[:60],
        )
    Console().print(table)


def watch(session: SessionId = None) -> None:
    """Follow a session live until it ends: its progress, and what its agent does."""
    client = ApiClient()
    follow(client, client.session(session).session_id, with_activity=True)


def steer(
    text: Annotated[str, typer.Argument(help="What the agent is to know.")],
    session: SessionOption = None,
    as_json: Json = False,
) -> None:
    """Tell the agent something; it reads it in its next prompt."""
    show(ApiClient().command("steer", session, context=text), as_json)


def pause(session: SessionOption = None, as_json: Json = False) -> None:
    """Pause a session: its agent is ended, its runs go on."""
    show(ApiClient().command("pause", session), as_json)


def resume(session: SessionOption = None, as_json: Json = False) -> None:
    """Resume a paused session where it was."""
    show(ApiClient().command("resume", session), as_json)


def stop(
    session: SessionOption = None,
    runs: Annotated[str, typer.Option(help="keep or stop the runs that run.")] = "keep",
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
    show(ApiClient().command("stop", session, runs=choice), as_json)


def plan(session: SessionId = None, as_json: Json = False) -> None:
    """Print the plan (tasks.md)."""
    client = ApiClient()
    found = client.request("GET", f"/wild/v2/plan/{client.session(session).session_id}")
    if as_json:
        print_json(found)
    else:
        typer.echo(found["plan"])


def report(
    session: SessionId = None,
    now: Annotated[
        bool, typer.Option("--now", help="Make it anew, also where there is a final one.")
    ] = False,
    html: Annotated[Path | None, typer.Option(help="Write the page with its plots here.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table of all runs here.")] = None,
    as_json: Json = False,
) -> None:
    """Print the report; while the session goes on, how it stands."""
    client = ApiClient()
    path, params = f"/wild/v2/report/{client.session(session).session_id}", {"now": now}
    for file, kind in ((html, "html"), (csv, "runs.csv")):
        if file is not None:
            write_text(file, client.text(f"{path}/{kind}", params=params))
    if html is not None or csv is not None:
        return
    found = client.request("GET", path, params=params)
    if as_json:
        print_json(found)
        return
    typer.echo(found["report"])
    for name in ("report_path", "page_path"):
        if found.get(name):
            typer.echo(f"({found[name]})")


def write_text(file: Path, text: str) -> None:
    """Write a file and say where it is; a fault ends the command."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"'{file}' cannot be written ({error.strerror}): give another path")
    typer.echo(f"written: {file}")


def results(session: SessionId = None, as_json: Json = False) -> None:
    """Show which changes were kept and discarded, and why."""
    client = ApiClient()
    found = ResultsView.model_validate(
        client.request("GET", f"/wild/v2/results/{client.session(session).session_id}")
    )
    if as_json:
        print_json(found)
        return
    table = Table("iteration", "status", found.metric or "metric", "sd", "n", "p", "change", "why")
    for one in found.rows:
        numbers = ["" if value is None else f"{value:.4g}" for value in (one.metric, one.sd)]
        p = "" if one.p is None else f"{one.p:.3g}"
        change = f"{one.commit} {one.description}"[:60]
        status = one.status.value
        table.add_row(str(one.iteration), status, *numbers, str(one.n), p, change, one.why)
    Console().print(table)
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
