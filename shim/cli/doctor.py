"""`wildloop doctor`: what is there, what is missing, what to do."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from flows.settings import Settings, wildloop_home
from shim.cli.client import ApiClient, ClientError, read_up_note
from shim.cli.output import print_json

FREE_GIB = 2.0


class Finding(BaseModel):
    """One check. `fatal` faults make the exit code 1."""

    check: str
    ok: bool
    fatal: bool = False
    text: str


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the installation and the server."""
    checks: tuple[Callable[[], Finding | None], ...]
    checks = (_python, _git, _disk, _slurm, _token, _server, _cluster, _prefect)
    findings = [finding for check in checks if (finding := check())]
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            typer.echo(f"{'ok   ' if finding.ok else 'FAULT'} {finding.check}: {finding.text}")
    if any(not finding.ok and finding.fatal for finding in findings):
        raise typer.Exit(1)


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
