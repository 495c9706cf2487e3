"""`wildloop nightly`: a session that starts by itself every night."""

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tzlocal import get_localzone_name

from wildloop.shim.cli.on_prefect import ask_prefect
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.research import Json

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from wildloop.flows.worker.nightly import Nightly

app = typer.Typer(name="nightly", help="A session that starts by itself every night.")


@app.callback(invoke_without_command=True)
def nightly(
    context: typer.Context,
    goal: Annotated[str | None, typer.Option(help="What the research is to reach.")] = None,
    workdir: Annotated[Path, typer.Option(help="The project, a git repository.")] = Path(),
    at: Annotated[str, typer.Option(help="Time of day, HH:MM.")] = "22:00",
    timezone: Annotated[
        str | None, typer.Option(help="Like Europe/Berlin (default: this machine's).")
    ] = None,
    agent: Annotated[str | None, typer.Option(help="Name of the agent.")] = None,
    max_iterations: Annotated[int | None, typer.Option(help="A hard stop.")] = None,
    budget_hours: Annotated[float | None, typer.Option(help="Wall-clock hours.")] = None,
    budget_cost: Annotated[float | None, typer.Option(help="US dollars of the agent.")] = None,
    budget_runs: Annotated[int | None, typer.Option(help="Runs.")] = None,
    keep: Annotated[str | None, typer.Option(help="all, or better: what is shown to be.")] = None,
    overlap: Annotated[
        str, typer.Option(help="While the night before still works: wait, or skip.")
    ] = "wait",
    as_json: Json = False,
) -> None:
    """Have a session start every night; `status` and `off` are its commands."""
    if context.invoked_subcommand is not None:
        return
    if goal is None:
        fail("--goal is missing: wildloop nightly --goal TEXT --workdir DIR --at 22:00", 2)
    if overlap not in ("wait", "skip"):
        fail(f"--overlap: '{overlap}' is neither wait nor skip", 2)
    folder = workdir.expanduser().resolve()
    if not (folder / ".git").exists():
        fail(f"--workdir: '{folder}' is no git repository: run `git init` there and commit once", 2)
    budget = {"hours": budget_hours, "cost_usd": budget_cost, "runs": budget_runs}
    given = {
        "goal": goal,
        "workdir": str(folder),
        "agent": agent,
        "max_iterations": max_iterations,
        "keep": keep,
        "budget": {name: value for name, value in budget.items() if value is not None} or None,
    }
    parameters = {name: value for name, value in given.items() if value is not None}
    zone = timezone or get_localzone_name()

    async def switch_on(client: "PrefectClient") -> "Nightly":
        from wildloop.flows.worker.nightly import Nightly, switch_on

        wanted = Nightly.model_validate(
            {"at": at, "timezone": zone, "parameters": parameters, "overlap": overlap}
        )
        return await switch_on(client, wanted)

    _show(ask_prefect(switch_on), as_json)


@app.command()
def status(as_json: Json = False) -> None:
    """Show what starts, and when next."""

    async def read(client: "PrefectClient") -> "Nightly":
        from wildloop.flows.worker import nightly

        return await nightly.read(client)

    _show(ask_prefect(read), as_json)


@app.command()
def off(as_json: Json = False) -> None:
    """Switch it off; a session that works goes on."""

    async def switch_off(client: "PrefectClient") -> "Nightly":
        from wildloop.flows.worker import nightly

        return await nightly.switch_off(client)

    _show(ask_prefect(switch_off), as_json)


def when_told(often: str, active: bool, at: str, timezone: str) -> str:
    """When something starts; another schedule than once a day, set by Prefect, as it stands."""
    when = f"at {at}" if re.fullmatch("[0-9]{2}:[0-9]{2}", at) else f"by the cron line '{at}'"
    state = (often if when.startswith("at") else "on") if active else "off"
    return f"{state} {when} {timezone}"


def _show(found: "Nightly", as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    given: dict[str, Any] = found.parameters
    typer.echo(f"nightly  {when_told('every night', found.active, found.at, found.timezone)}")
    typer.echo(f"goal     {given.get('goal', '')}")
    typer.echo(f"project  {given.get('workdir', '')}")
    if budget := given.get("budget"):
        typer.echo("budget   " + ", ".join(f"{name} {value:g}" for name, value in budget.items()))
    typer.echo(f"overlap  the next night {'is skipped' if found.overlap == 'skip' else 'waits'}")
    if found.next_at is not None:
        typer.echo(f"next     {datetime.fromtimestamp(found.next_at).astimezone():%Y-%m-%d %H:%M}")
