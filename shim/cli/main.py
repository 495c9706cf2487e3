"""The `wildloop` command."""

import sys

import typer

from shim.cli import research, runs
from shim.cli.client import ClientError
from shim.cli.demo import demo
from shim.cli.doctor import doctor
from shim.cli.up import up

app = typer.Typer(
    name="wildloop",
    help="Autonomous ML research: plan, experiment, reflect, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app.command()(up)
app.command()(demo)
for command in (
    research.start,
    research.status,
    research.sessions,
    research.watch,
    research.steer,
    research.pause,
    research.resume,
    research.stop,
    research.plan,
    research.report,
    research.results,
    runs.runs,
    runs.logs,
    runs.rerun,
    runs.cancel,
    doctor,
):
    app.command()(command)


@app.command(context_settings=PASS_ON)
def worker(context: typer.Context) -> None:
    """Run a worker alone: --slots N, --compute WHERE, --ready-file PATH."""
    from flows.worker.main import main as run_worker

    run_worker(context.args)


@app.command(context_settings=PASS_ON)
def serve(context: typer.Context) -> None:
    """Run the HTTP API alone: --host, --port, --workdir."""
    from shim.main import main as run_api

    run_api(context.args)


@app.command()
def mcp() -> None:
    """Serve Wildloop's tools to an agent, over MCP on stdin and stdout."""
    from shim.mcp.server import main as run_mcp

    run_mcp()


@app.command()
def deploy() -> None:
    """Register the deployments on the Prefect server of PREFECT_API_URL."""
    import asyncio

    from shim.cli.prefect_target import aim_prefect

    aim_prefect()
    from flows.deployments import deploy_all

    for name in asyncio.run(deploy_all()):
        typer.echo(f"deployed {name}")


def main() -> None:
    """Entry point: every error is one line on stderr and a non-zero exit code."""
    try:
        app()
    except ClientError as error:
        typer.echo(f"wildloop: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
