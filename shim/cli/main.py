"""The `wildloop` command."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from wildloop.blocks.proxies import keep_off_proxies
from wildloop.shim.cli import (
    contract,
    digest,
    history,
    holdout,
    memories,
    metrics,
    nightly,
    notify,
    prompt,
    report,
    research,
    runs,
    service,
)
from wildloop.shim.cli.agents import agents
from wildloop.shim.cli.approve import approve
from wildloop.shim.cli.ask import ask
from wildloop.shim.cli.best import best
from wildloop.shim.cli.compare import compare
from wildloop.shim.cli.demo import demo
from wildloop.shim.cli.doctor import doctor
from wildloop.shim.cli.down import down
from wildloop.shim.cli.export.command import export
from wildloop.shim.cli.faults import guarded_command
from wildloop.shim.cli.init.command import init
from wildloop.shim.cli.open import open_page
from wildloop.shim.cli.output import fail
from wildloop.shim.cli.prune import prune
from wildloop.shim.cli.take import take
from wildloop.shim.cli.tree import tree
from wildloop.shim.cli.up import up
from wildloop.shim.cli.verify import verify

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient


app = typer.Typer(
    name="wildloop",
    help="Autonomous ML research: plan, experiment, reflect, report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app.command()(up)
app.command()(down)
app.command()(demo)
app.command()(init)
app.command("open")(open_page)
for command in (
    research.start,
    research.status,
    research.sessions,
    research.watch,
    research.steer,
    approve,
    ask,
    research.pause,
    research.resume,
    research.stop,
    research.plan,
    report.report,
    research.results,
    best,
    tree,
    history.show,
    prompt.prompt,
    runs.runs,
    runs.logs,
    runs.rerun,
    runs.cancel,
    compare,
    metrics.metrics,
    export,
    agents,
    doctor,
    verify,
    take,
    prune,
):
    app.command()(command)
app.add_typer(contract.app)
app.add_typer(holdout.app)
app.add_typer(memories.app)
app.add_typer(nightly.app)
app.add_typer(notify.app)
app.add_typer(digest.app)
app.add_typer(service.app)


def _print_version(asked: bool) -> None:
    if asked:
        from wildloop.shim.version import VERSION

        typer.echo(f"wildloop {VERSION}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Autonomous ML research: plan, experiment, reflect, report."""


@app.command()
def completion(
    shell: Annotated[str, typer.Argument(help="bash, zsh, fish or powershell.")] = "bash",
) -> None:
    """Print the shell's completion: source <(wildloop completion bash)."""
    from typer._completion_shared import get_completion_script

    if shell not in ("bash", "zsh", "fish", "powershell"):
        fail(f"no completion for '{shell}': use bash, zsh, fish or powershell", 2)
    script = get_completion_script(
        prog_name="wildloop", complete_var="_WILDLOOP_COMPLETE", shell=shell
    )
    typer.echo(script)


@app.command(context_settings=PASS_ON)
def worker(context: typer.Context) -> None:
    """Run a worker alone: --slots N, --compute WHERE, --ready-file PATH."""
    from wildloop.flows.worker.main import main as run_worker

    run_worker(context.args)


@app.command(context_settings=PASS_ON)
def serve(context: typer.Context) -> None:
    """Run the HTTP API alone: --host, --port, --workdir."""
    from wildloop.shim.main import main as run_api

    run_api(context.args)


@app.command()
def mcp() -> None:
    """Serve Wildloop's tools to an agent, over MCP on stdin and stdout."""
    from wildloop.shim.mcp.server import main as run_mcp

    run_mcp()


@app.command()
def deploy() -> None:
    """Register the deployments on the Prefect server of PREFECT_API_URL, `up` or the profile."""
    from wildloop.shim.cli.on_prefect import ask_prefect

    for name in ask_prefect(_deploy_all):
        typer.echo(f"deployed {name}")


async def _deploy_all(client: "PrefectClient") -> list[str]:
    # Imported once it is known which server is meant: Prefect reads that as it is imported.
    from wildloop.flows.worker.deployments import deploy_all

    typer.echo(f"on {client.api_url}", err=True)
    return await deploy_all(client)


def main() -> None:
    """Entry point: every error is one line on stderr and a non-zero exit code."""
    keep_off_proxies()
    if os.environ.get("COLUMNS") == "0":
        # What some terminals say before they know; taken at its word it prints nothing.
        del os.environ["COLUMNS"]
    guarded_command(app)


if __name__ == "__main__":
    main()
