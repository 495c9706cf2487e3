"""`wildloop doctor`: what is there, what is missing, what to do."""

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from wildloop.blocks.proxies import NO_PROXY, around_proxies, proxy_fault, proxy_variables
from wildloop.flows.project import FILE
from wildloop.flows.settings import Settings, wildloop_home
from wildloop.shim.cli.findings import Finding
from wildloop.shim.cli.init.command import init
from wildloop.shim.cli.mending import can_offer_init, mends
from wildloop.shim.cli.output import print_json
from wildloop.shim.cli.prefect_target import aim_prefect
from wildloop.shim.cli.project_checks import check_project
from wildloop.shim.cli.server import server
from wildloop.shim.client.api import ApiClient
from wildloop.shim.client.errors import ClientError
from wildloop.shim.database import (
    DatabaseKind,
    DatabaseUnavailable,
    check_sqlite,
    choose_database,
    sqlite_file,
)
from wildloop.shim.home import HomeFault, open_home, raise_file_limit
from wildloop.shim.up_note import read_up_note

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
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be mended without loss, and say so.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Check the installation, the agents, the project and the server.

    The exit code is 1 if something is found that prevents work, and was not mended.
    """

    folder, findings = workdir.expanduser().resolve(), []
    if fix and not as_json and can_offer_init(folder):
        typer.echo(f"no {FILE} in {folder}; a draft of one, by `wildloop init`:")
        with suppress(typer.Exit):
            init(folder)
    for finding in found(folder, agent, ask_seconds if ask else None, fix):
        findings.append(finding)
        if not as_json:
            typer.echo(f"{_mark(finding)} {finding.check}: {finding.text}")
            sys.stdout.flush()
    if as_json:
        print_json(findings)
    if any(not finding.ok and finding.fatal for finding in findings):
        raise typer.Exit(1)


def _mark(finding: Finding) -> str:
    return "mended" if finding.mended else "ok    " if finding.ok else "FAULT "


def found(
    folder: Path, agent: str | None, ask_seconds: float | None, fix: bool = False
) -> Iterator[Finding]:
    """Every finding, as soon as it is there; with `fix`, what can be mended is, at the front."""
    from wildloop.shim.cli.agent_checks import check_agent, check_tools

    # First of all: the checks below are to find things as they are then.
    for mend in list(mends(wildloop_home(), folder)):
        if fix:
            yield mend.done()
        elif mend.is_fault:
            yield mend.told()
    checks: tuple[Callable[[], Finding | None], ...]
    checks = (_python, _git, _home, _database, _disk, _files, _temporary, _proxy)
    checks += (_bubblewrap, _local_compute, _slurm)
    yield from (finding for check in checks if (finding := check()))
    yield from check_project(folder)
    _aim_prefect()
    yield from check_tools(folder, ask_seconds, agent)
    if agent is not None:
        yield from check_agent(agent, folder, ask_seconds)
    checks = (_token, _server, _ready, _cluster, _prefect)
    yield from (finding for check in checks if (finding := check()))


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


def _home() -> Finding | None:
    """What would keep `up` from using the home; nothing where none is made yet."""
    home = wildloop_home()
    if not home.exists():
        return None
    try:
        open_home(home)
    except HomeFault as error:
        return Finding(check="home", ok=False, fatal=True, text=str(error))
    return Finding(check="home", ok=True, text=f"{home} can be written")


def _database() -> Finding | None:
    """Whether a history in SQLite can be read; nothing where there is none."""
    home = wildloop_home()
    path = sqlite_file(home)
    if choose_database(home, None) is not DatabaseKind.SQLITE:
        return None
    try:
        check_sqlite(home)
    except DatabaseUnavailable as error:
        return Finding(check="database", ok=False, fatal=True, text=str(error))
    return Finding(check="database", ok=True, text=f"{path} can be read")


def _files() -> Finding:
    remark = raise_file_limit()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Finding(check="open files", ok=remark is None, text=remark or f"{limit} at once")


def _temporary() -> Finding:
    try:
        place = tempfile.gettempdir()
    except FileNotFoundError as error:
        text = f"{error.strerror}: set TMPDIR to a folder that can be written"
        return Finding(check="TMPDIR", ok=False, fatal=True, text=text)
    return Finding(check="TMPDIR", ok=True, text=place)


def _ready() -> Finding:
    return _ask("ready", "/ready", lambda *_: "a run that is asked for now would be taken")


def _disk() -> Finding:
    home = wildloop_home()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free / 2**30
    text = f"{free:.1f} GiB free at {place}"
    ok = free >= FREE_GIB
    return Finding(check="disk", ok=ok, text=text if ok else f"{text}: free some space")


def _proxy() -> Finding | None:
    """Proxies of the environment: they are for the outside alone."""
    if fault := proxy_fault():
        return Finding(check="proxy", ok=False, fatal=True, text=fault)
    if not (found := proxy_variables()):
        return None
    names = ", ".join(f"{name}={value}" for name, value in found.items())
    text = f"{names}; past it: {around_proxies(os.environ)[NO_PROXY[0]]}"
    return Finding(check="proxy", ok=True, text=text)


def _bubblewrap() -> Finding:
    """Whether agents can be put into a sandbox; a project that insists is checked by itself."""
    from wildloop.blocks.agents.sandbox import Sandbox, probe

    fault = probe(Sandbox(mode="on"), Path.home(), os.environ)
    text = "works: set sandbox = true below [agent] of wildloop.toml to use it"
    return Finding(check="sandbox", ok=True, text=f"not to be had: {fault}" if fault else text)


def _local_compute() -> Finding:
    from wildloop.blocks.cluster.detect import detect_cluster

    found = asyncio.run(detect_cluster())
    notes = " ".join("; ".join(found.details.notes).split())
    ok = found.status != "degraded"
    return Finding(check="this host", ok=ok, text=found.label + (f" ({notes})" if notes else ""))


def _slurm() -> Finding | None:
    """What past jobs say of how this cluster is used; nothing where there is no Slurm."""
    if shutil.which("sbatch") is None:
        return None
    from wildloop.blocks.cluster.slurm_proposal import propose

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
    client = server()
    try:
        return Finding(check=check, ok=True, text=text(client, client.request("GET", path)))
    except ClientError as error:
        return Finding(check=check, ok=False, fatal=fatal, text=str(error))
