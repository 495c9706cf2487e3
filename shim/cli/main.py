"""The `wildloop` command."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from wildloop.blocks.proxies import keep_off_proxies
from wildloop.shim.cli.faults import guarded_command
from wildloop.shim.cli.output import fail

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient


PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
COMMANDS = {
    "up": "up",
    "down": "down",
    "demo": "demo",
    "init": "init.command",
    "open": "open",
    "start": "research",
    "status": "research",
    "sessions": "research",
    "watch": "research",
    "steer": "research",
    "approve": "approve",
    "ask": "ask",
    "pause": "research",
    "resume": "research",
    "stop": "research",
    "plan": "research",
    "report": "report",
    "results": "research",
    "best": "best",
    "tree": "tree",
    "show": "history",
    "prompt": "prompt",
    "runs": "runs",
    "logs": "runs",
    "rerun": "runs",
    "cancel": "runs",
    "compare": "compare",
    "metrics": "metrics",
    "export": "export.command",
    "agents": "agents",
    "doctor": "doctor",
    "verify": "verify",
    "take": "take",
    "prune": "prune",
}
"""The module of each command, in the order of the help."""
NAMED_OTHERWISE = {"open": "open_page"}
GROUPS = ("contract", "holdout", "memories", "nightly", "notify", "digest", "service")
"""Each has an `app` in the module of its name."""


def application(words: Sequence[str] = ()) -> typer.Typer:
    """The commands; of those in modules of their own, only the one that `words` begin with.

    What all of them import together takes longer than what most of them do. All are there where
    the words begin with none, for the help and the completion.
    """
    app = typer.Typer(
        name="wildloop",
        help="Autonomous ML research: plan, experiment, reflect, report.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(root)
    own = {command.__name__: command for command in (completion, worker, serve, mcp, deploy)}
    asked = words[0] if words else ""
    known = asked in COMMANDS or asked in GROUPS or asked in own or asked == "--version"
    for name, module in COMMANDS.items():
        if name == asked or not known:
            attribute = NAMED_OTHERWISE.get(name, name)
            app.command(name)(getattr(_module(module), attribute))
    for command in own.values():
        app.command(context_settings=PASS_ON if command in (worker, serve) else None)(command)
    for name in GROUPS:
        if name == asked or not known:
            app.add_typer(_module(name).app)
    return app


def _module(name: str) -> ModuleType:
    return import_module(f"wildloop.shim.cli.{name}")


def _print_version(asked: bool) -> None:
    if asked:
        from wildloop.shim.version import VERSION

        typer.echo(f"wildloop {VERSION}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and end.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Autonomous ML research: plan, experiment, reflect, report."""


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


def worker(context: typer.Context) -> None:
    """Run a worker alone: --slots N, --compute WHERE, --ready-file PATH."""
    from wildloop.flows.worker.main import main as run_worker

    run_worker(context.args)


def serve(context: typer.Context) -> None:
    """Run the HTTP API alone: --host, --port, --workdir."""
    from wildloop.shim.main import main as run_api

    run_api(context.args)


def mcp() -> None:
    """Serve Wildloop's tools to an agent, over MCP on stdin and stdout."""
    from wildloop.shim.mcp.server import main as run_mcp

    run_mcp()


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
    # With its modules: what cannot be imported is told as any fault is.
    guarded_command(lambda: application(sys.argv[1:])())


if __name__ == "__main__":
    main()
