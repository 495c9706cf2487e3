"""`wildloop take`: a night's kept ideas as a branch that a colleague can review."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.evidence.values import value_of
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.models.run import Run
from wildloop.flows.models.session import Session
from wildloop.flows.models.take import NightView, RanAgain, Refused, Taken
from wildloop.flows.text.plural import counted
from wildloop.shim.cli.output import print_json
from wildloop.shim.cli.research import Json
from wildloop.shim.cli.server import server
from wildloop.shim.client.api import ApiClient

PARTLY = 3
OTHER_VALUE = 4
LOOK_SECONDS = 1.0


def take(
    session: Annotated[str, typer.Argument(help="Session id or its beginning.")],
    onto: Annotated[
        str | None,
        typer.Option(help="Branch or commit (default: your branch that the session began on)."),
    ] = None,
    branch: Annotated[
        str | None, typer.Option(help="Name of the new branch (default: take/<session>).")
    ] = None,
    check: Annotated[
        list[str] | None,
        typer.Option(help="A command that each commit is to pass, beside [checks] commands."),
    ] = None,
    checks: Annotated[bool, typer.Option("--checks/--no-checks", help="Run checks at all.")] = True,
    skip: Annotated[
        bool,
        typer.Option(
            "--skip", help="Leave out an idea that conflicts or fails a check; else stop there."
        ),
    ] = False,
    hooks: Annotated[bool, typer.Option("--hooks", help="Run your git hooks as well.")] = False,
    now: Annotated[
        bool, typer.Option("--now", help="What a session that goes on has kept until now.")
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Run the best's command on the last commit.")
    ] = False,
    text: Annotated[
        Path | None,
        typer.Option(help="The pull request's file (default: in the session's folder)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a branch of what a night has kept: one commit an idea, each checked.

    Your checkout and the night's own branch stay as they are. The exit code is 3 where an idea is
    not on the branch, and 4 where --run has not given the best's value.
    """
    # They bring pathspec along, which no other command's help needs.
    from wildloop.flows.take.home import take_home
    from wildloop.flows.take.place import Wanted
    from wildloop.flows.take.request import request_text

    client = server()
    found = client.session(session)
    night = client.kept(found.session_id)
    wanted = Wanted(onto, branch, tuple(check or ()), checks, skip, hooks, now)
    file = _file(night, text)
    taken = asyncio.run(take_home(night, wanted))
    if taken.branch is not None:
        _write(file, request_text(taken, night))
        taken.pull_request = str(file)
    if run and taken.branch is not None:
        taken.ran = _run_again(client, found, night, taken, quiet=as_json)
        _write(file, request_text(taken, night))
    if as_json:
        print_json(taken)
    else:
        for line in lines(taken, night):
            typer.echo(line)
    if not taken.is_whole:
        raise typer.Exit(PARTLY)
    if taken.ran is not None and not taken.ran.is_within:
        raise typer.Exit(OTHER_VALUE)


def lines(taken: Taken, night: NightView) -> list[str]:
    """What was made, for people."""
    from wildloop.flows.take.message import change_line, subject

    said = []
    for one in taken.commits:
        said.append(f"{one.commit[:12]}  {subject(one.title)}")
        if one.idea is not None:
            measured = change_line(one.idea) or "not measured"
            level = f", {one.idea.level.value}" if one.idea.level and one.idea.after else ""
            said.append(f"{'':14}{one.idea.label}: {measured}{level}")
    for refused in taken.refused:
        said += _refused_lines(refused)
    if taken.not_tried:
        said.append(
            f"stopped there; not tried: {', '.join(taken.not_tried)} (--skip leaves out what does "
            "not go, and goes on)"
        )
    said += [f"no commit for {one.label} ({one.title}): {one.why}" for one in taken.not_needed]
    said += [f"note: {one}" for one in taken.notes]
    said.append(_branch_line(taken, night))
    if taken.ran is not None:
        said.append(taken.ran.text)
    if taken.pull_request is not None:
        said.append(f"(pull request: {taken.pull_request})")
    return said


def _refused_lines(refused: Refused) -> list[str]:
    from wildloop.flows.take.request import told

    said = [f"NOT TAKEN: {refused.label} ({refused.title}): {told(refused)}"]
    for file in refused.files:
        since = f" (there since: {'; '.join(file.commits)})" if file.commits else ""
        said.append(f"  {file.path}: {file.how}{since}")
    if refused.by_hand:
        said.append(f"  by hand, on the new branch: {refused.by_hand}")
    return said


def _branch_line(taken: Taken, night: NightView) -> str:
    stays = f"{night.branch} stays as it is" if night.branch else "nothing else is changed"
    if taken.branch is None and taken.is_whole:
        return f"no branch was made: {taken.onto} has all of it already; {stays}"
    if taken.branch is None:
        return f"no branch was made: nothing goes onto {taken.onto} as it is; {stays}"
    ideas = sum(one.idea is not None for one in taken.commits)
    checked = f", each passes {counted(len(taken.checks), 'check')}" if taken.checks else ""
    return (
        f"branch {taken.branch}: {counted(ideas, 'idea')} in "
        f"{counted(len(taken.commits), 'commit')} on {taken.onto} ({taken.onto_commit[:12]})"
        f"{checked}; {stays}"
    )


def _file(night: NightView, asked: Path | None) -> Path:
    """Where the pull request's text is to be written; that it can be is seen before the work.

    Raises:
        InvalidRequest: its folder is not there.
    """
    if asked is None:
        return SessionPaths.of(night.workdir, night.session_id).pull_request
    file = asked.expanduser().absolute()
    if file.is_dir() or not file.parent.is_dir():
        raise InvalidRequest(f"--text '{asked}' is no file in a folder that is there")
    return file


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", errors="replace")


def _run_again(
    client: ApiClient, session: Session, night: NightView, taken: Taken, quiet: bool
) -> RanAgain | None:
    """Run the best's command on the last commit, and where it gives the value, the evaluation."""
    from wildloop.flows.take.again import judged

    best, metric = night.best, night.metric
    if best is None or metric is None or taken.tip is None:
        taken.notes.append("there is no best run: nothing was run on the last commit")
        return None
    code = {"git_commit": taken.tip, "snapshot": taken.tip}
    made = client.request("POST", f"/runs/{best.run_id}/rerun", json={"checkout": code})
    run = _ended(client, Run.model_validate(made), quiet)
    contract, measured = session.contract, run
    if contract.evaluate is not None and contract.beginning is not None:
        body: dict[str, Any] = {
            "name": f"evaluate {run.name}"[:200],
            "command": contract.evaluate,
            "workdir": run.workdir,
            "env": {"WILDLOOP_EVALUATED_RUN_DIR": run.run_dir},
            "gpus": contract.evaluate_gpus,
            "timeout_seconds": contract.evaluate_seconds,
            "checkout": contract.beginning.model_dump(exclude_none=True),
            "metric": metric,
            "auto_start": True,
        }
        measured = _ended(
            client, Run.model_validate(client.request("POST", "/runs", json=body)), quiet
        )
    return judged(best, run.id, taken.tip, metric, value_of(measured, metric))


def _ended(client: ApiClient, run: Run, quiet: bool) -> Run:
    if not quiet:
        typer.echo(f"run {run.id[:8]} ({run.name}) on the last commit ...", err=True)
    while not run.status.is_terminal:
        time.sleep(LOOK_SECONDS)
        run = client.run(run.id)
    return run
