"""`wildloop notify`: who is told of what happens, and where."""

import sys
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from wildloop.shim.cli.on_prefect import ask_prefect
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.research import Json

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from wildloop.flows.news.channels import Channel

SERVICES = ("slack", "email", "ntfy", "webhook", "apprise")
ALL = "ended,failed,stuck,best,alert,host"

app = typer.Typer(
    name="notify", help="Messages to Slack, e-mail, ntfy, a webhook.", no_args_is_help=True
)


@app.command()
def add(
    service: Annotated[str, typer.Argument(help=f"One of {', '.join(SERVICES)}.")],
    url: Annotated[
        str, typer.Argument(help="Its URL; `-` or none: it is asked for, or read from stdin.")
    ] = "-",
    name: Annotated[str | None, typer.Option(help="Of the channel (default: the service).")] = None,
    on: Annotated[str, typer.Option(help="What is told, with commas between.")] = ALL,
    quiet: Annotated[
        str | None,
        typer.Option(help="Full or half hours of this machine's clock, like 22:00-07:00."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a channel: a notification block of Prefect's, and an automation for each topic.

    An e-mail's URL is smtps://user:password@mail.example.com:587?from=ME&to=ME (smtp:// without
    encryption). In quiet hours nothing is sent: `wildloop digest` tells of it.
    """
    if service not in SERVICES:
        fail(f"'{service}' is none of {', '.join(SERVICES)}", 2)
    if url != "-" and _is_secret(service, url):
        typer.echo(
            "Note: the URL is a secret, and process lists and the shell's history have seen it: "
            f"`wildloop notify add {service}` asks for it",
            err=True,
        )
    given = _read_url() if url == "-" else url
    topics = [word.strip() for word in on.split(",") if word.strip()]

    async def make(client: "PrefectClient") -> "Channel":
        from pydantic import SecretStr

        from wildloop.flows.news.channels import Channel, add

        wanted = Channel.model_validate(
            {"name": name or service, "service": service, "on": topics, "quiet": quiet}
        )
        return await add(client, wanted, SecretStr(given))

    made = ask_prefect(make)
    if as_json:
        print_json(made)
        return
    typer.echo(line_of(made))
    typer.echo(f"try it: wildloop notify test {made.name}")


@app.command("list")
def show(as_json: Json = False) -> None:
    """Show the channels; their URLs are secrets, and not shown."""

    async def read(client: "PrefectClient") -> "list[Channel]":
        from wildloop.flows.news.channels import every_channel

        return await every_channel(client)

    found = ask_prefect(read)
    if as_json:
        print_json(found)
        return
    for one in found:
        typer.echo(line_of(one))
    if not found:
        typer.echo("no channel yet: wildloop notify add slack|email|ntfy|webhook URL")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="Of the channel.")]) -> None:
    """Take a channel away, with its block and automations."""

    async def take_away(client: "PrefectClient") -> None:
        from wildloop.flows.news.channels import remove

        await remove(client, name)

    ask_prefect(take_away)
    typer.echo(f"removed {name}")


@app.command()
def test(
    names: Annotated[list[str] | None, typer.Argument(help="Channels (default: all).")] = None,
) -> None:
    """Have the Prefect server send a test message, quiet hours or not; fails if it does not."""

    async def send(client: "PrefectClient") -> list[str]:
        from wildloop.flows.news.channels import every_channel
        from wildloop.flows.news.trial import try_channel

        wanted = names or [one.name for one in await every_channel(client)]
        for name in wanted:
            await try_channel(client, name)
            typer.echo(f"sent to {name}")
        return wanted

    if not ask_prefect(send):
        fail("no channel yet: wildloop notify add slack|email|ntfy|webhook URL")


def line_of(channel: "Channel") -> str:
    """A channel in a line."""
    quiet = f", quiet {channel.quiet}" if channel.quiet else ""
    told = ", ".join(channel.on) or "nothing (its automations are switched off)"
    return f"{channel.name:<12} {channel.service.value:<8} {told}{quiet}"


def _is_secret(service: str, url: str) -> bool:
    """Whether a URL holds what opens a door: all of Slack's do, others by what they name."""
    try:
        parts = urlsplit(url)
        return service in ("slack", "apprise") or bool(parts.password or parts.query)
    except ValueError:
        return True


def _read_url() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("URL (not shown)", hide_input=True))
    text = sys.stdin.readline().strip()
    if not text:
        fail("the URL is missing: give it, or write it to stdin", 2)
    return text
