"""`wildloop digest`: what last night's sessions have come to."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from wildloop.shim.cli.nightly import when_told
from wildloop.shim.cli.on_prefect import ask_prefect
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.research import Json

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from wildloop.flows.models.digest import Digest
    from wildloop.flows.worker.morning import Morning

Hours = Annotated[float, typer.Option(min=0.01, max=8760, help="How far it looks back.")]
To = Annotated[list[str] | None, typer.Option(help="A channel, several times (default: all).")]

app = typer.Typer(name="digest", help="What last night's sessions have come to.")


@app.callback(invoke_without_command=True)
def digest(
    context: typer.Context,
    hours: Hours = 24.0,
    send: Annotated[bool, typer.Option("--send", help="Send it to the channels.")] = False,
    to: To = None,
    as_json: Json = False,
) -> None:
    """Print last night's digest; `on --at 07:30` has it sent every morning."""
    if context.invoked_subcommand is not None:
        return

    async def read(client: "PrefectClient") -> "tuple[Digest, list[str]]":
        from wildloop.flows.news.channels import every_channel, send_to_all
        from wildloop.flows.news.collect import collect

        found = await collect(client, hours)
        if not send:
            return found, []
        names = to or [one.name for one in await every_channel(client)]
        return found, await send_to_all(client, names, found.title, found.text)

    found, faults = ask_prefect(read)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"# {found.title}\n\n{found.text}", nl=False)
    if faults:
        fail(f"not sent to {'; '.join(faults)}")


@app.command()
def on(
    at: Annotated[str, typer.Option(help="Time of day, HH:MM.")] = "08:00",
    timezone: Annotated[
        str | None, typer.Option(help="Like Europe/Berlin (default: this machine's).")
    ] = None,
    hours: Hours = 24.0,
    to: To = None,
    as_json: Json = False,
) -> None:
    """Have it sent every morning to the channels of `wildloop notify`."""
    from tzlocal import get_localzone_name

    zone = timezone or get_localzone_name()

    async def switch_on(client: "PrefectClient") -> "Morning":
        from wildloop.flows.worker.morning import Morning, switch_on

        wanted = Morning.model_validate({"at": at, "timezone": zone, "hours": hours, "to": to})
        return await switch_on(client, wanted)

    _show(ask_prefect(switch_on), as_json)


@app.command()
def off(as_json: Json = False) -> None:
    """Send it no longer."""

    async def switch_off(client: "PrefectClient") -> "Morning":
        from wildloop.flows.worker import morning

        return await morning.switch_off(client)

    _show(ask_prefect(switch_off), as_json)


@app.command()
def status(as_json: Json = False) -> None:
    """Show when it is sent, and to whom."""

    async def read(client: "PrefectClient") -> "Morning":
        from wildloop.flows.worker import morning

        return await morning.read(client)

    _show(ask_prefect(read), as_json)


def _show(found: "Morning", as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    when = when_told("every day", found.active, found.at, found.timezone)
    typer.echo(f"digest   {when}, of the last {found.hours:g} h")
    typer.echo(f"to       {', '.join(found.to) if found.to else 'all channels'}")
    if found.next_at is not None:
        typer.echo(f"next     {datetime.fromtimestamp(found.next_at).astimezone():%Y-%m-%d %H:%M}")
