"""`wildloop doctor`: what is there, what is missing, what to do."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.settings import Settings, wildloop_home
from shim.cli.client import ApiClient, ClientError, read_up_note
from shim.cli.findings import Finding
from shim.cli.output import print_json
from shim.cli.prefect_target import aim_prefect
from shim.cli.project_checks import check_project

FREE_GIB = 2.0


def doctor(
    workdir: Annotated[Path, typer.Option(help="The project to check.")] = Path(),
    agent: Annotated[
        str | None, typer.Option(help="The agent that is to be used, as for `start`.")
    ] = None,
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask each agent for one word (this costs a little).")
    ] = False,
    ask_seconds: Annotated[float, typer.Option(min=1, help="The longest that may take.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the installation, the agents, the project and the server.

    The exit code is 1 if something is found that prevents work.
    """
    from shim.cli.agent_checks import check_agent, check_tools

    folder, seconds = workdir.expanduser().resolve(), ask_seconds if ask else None
    checks: tuple[Callable[[], Finding | None], ...]
    checks = (_python, _git, _disk, _bubblewrap, _local_compute, _slurm)
    findings = [finding for check in checks if (finding := check())]
    findings += check_project(folder)
    _aim_prefect()
    findings += check_tools(folder, seconds, agent)
    if agent is not None:
        findings += check_agent(agent, folder, seconds)
    checks = (_token, _server, _cluster, _prefect)
    findings += [finding for check in checks if (finding := check())]
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            typer.echo(f"{'ok   ' if finding.ok else 'FAULT'} {finding.check}: {finding.text}")
    if any(not finding.ok and finding.fatal for finding in findings):
        raise typer.Exit(1)


def _aim_prefect() -> None:
    """Agent blocks lie on the Prefect server: find that of a running `up`, if there is one."""
    if os.environ.get("PREFECT_API_URL") or read_up_note() is not None:
        aim_prefect()


def _python() -> Finding:
    return Finding(check="python", ok=True, text=f"{sys.version.split()[0]} at {sys.executable}")


def _git() -> Finding:
    if shutil.which("git") is None:
        return Finding(check="git", ok=False, fatal=True, text="not on PATH: install git")
    done = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False)
    return Finding(check="git", ok=done.returncode == 0, fatal=True, text=done.stdout.strip())


def _disk() -> Finding:
    home = wildloop_home()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 2**30
    text = f"{free:.1f} GiB free at {place}"
    ok = free >= FREE_GIB
    return Finding(check="disk", ok=ok, text=text if ok else f"{text}: free some space")


def _bubblewrap() -> Finding:
    """Whether agents can be put into a sandbox; a project that insists is checked by itself."""
    from blocks.agents.sandbox import Sandbox, probe

    fault = probe(Sandbox(mode="on"), Path.home(), os.environ)
    text = "works: set sandbox = true below [agent] of wildloop.toml to use it"
    return Finding(check="sandbox", ok=True, text=f"not to be had: {fault}" if fault else text)


def _local_compute() -> Finding:
    from blocks.cluster.detect import detect_cluster

    found = asyncio.run(detect_cluster())
    notes = "; ".join(found.details.notes)
    ok = found.status != "degraded"
    return Finding(check="this host", ok=ok, text=found.label + (f" ({notes})" if notes else ""))


def _slurm() -> Finding | None:
    """What past jobs say of how this cluster is used; nothing where there is no Slurm."""
    if shutil.which("sbatch") is None:
        return None
    from blocks.cluster.slurm_proposal import propose

    found = propose(Path.cwd(), Path.home())
    options = [
        f"{name} {option.value} ({option.source}, {option.uses} times)"
        for name, option in found
        if option is not None
    ]
    text = "; ".join(options) or "no past job tells of partition or account"
    return Finding(check="Slurm", ok=True, text=f"{text}: see the Wildloop Slurm Compute block")


def _token() -> Finding:
    token = Settings.from_environment().token
    if token is None:
        return Finding(check="token", ok=False, text="none found: `wildloop up` makes one")
    return Finding(check="token", ok=True, text="found (not shown)")


def _server() -> Finding:
    return _ask("server", "/wild/v2/sessions?limit=1", lambda client, _: client.url, fatal=True)


def _cluster() -> Finding:
    def text(_: ApiClient, answer: Any) -> str:
        return f"{answer['cluster']['label']}, {answer['capacity']['g']} slots"

    return _ask("compute", "/cluster", text)


def _prefect() -> Finding:
    note = read_up_note()
    if note is None:
        return Finding(check="Prefect UI", ok=True, text="no `wildloop up` on this WILDLOOP_HOME")
    return Finding(check="Prefect UI", ok=True, text=note.prefect_ui_url)


def _ask(
    check: str, path: str, text: Callable[[ApiClient, Any], str], fatal: bool = False
) -> Finding:
    client = ApiClient()
    try:
        return Finding(check=check, ok=True, text=text(client, client.request("GET", path)))
    except ClientError as error:
        return Finding(check=check, ok=False, fatal=fatal, text=str(error))
