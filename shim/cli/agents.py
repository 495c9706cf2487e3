"""`wildloop agents`: which are installed, logged in, and of known cost."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from wildloop.flows.errors import InvalidRequest
from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.table import print_table

if TYPE_CHECKING:
    from wildloop.shim.cli.agent_checks import Access


class AgentView(BaseModel):
    """An agent that `--agent NAME` takes.

    `cost` is how a call's cost is known: told by the agent, by list price, tokens only, or not.
    """

    name: str
    command: str
    installed: str | None
    access: str | None
    cost: str
    mend: str


def agents(
    workdir: Annotated[Path, typer.Option(help="The project, for its [agents.NAME].")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the agents: installed? logged in? is their cost known? None of them is started."""
    try:
        found = views(workdir.expanduser().resolve())
    except InvalidRequest as error:
        fail(str(error), 2)
    if as_json:
        print_json(found)
        return
    rows = [
        (one.name, "yes" if one.installed else "no", one.access or "-", one.cost, one.mend)
        for one in found
    ]
    print_table(("agent", "installed", "access", "cost", "to use it"), rows)
    typer.echo(
        "start GOAL --agent NAME, or NAME:MODEL; also openai:MODEL@URL, and command:SHELL-COMMAND "
        "for any other.\nAdd your own in wildloop.toml: [agents.mine] command, pass, usage "
        "(docs/agents.md)."
    )


def views(workdir: Path) -> list[AgentView]:
    """Every agent by name, the project's own at the end.

    Raises:
        InvalidRequest: wildloop.toml is broken.
    """
    from wildloop.blocks.agents.command import first_word
    from wildloop.blocks.agents.registry import TOOLS
    from wildloop.blocks.agents.table import entries_with
    from wildloop.flows.project import load_project
    from wildloop.shim.cli.agent_checks import ACCESS, Access

    found = [
        AgentView(
            name="baseline",
            command="built in",
            installed="built in",
            access="needs none",
            cost="free",
            mend="",
        )
    ]
    for name, kind in TOOLS.items():
        tool = kind.model_validate({})
        cost = "by list price" if name == "codex" else "told by the agent"
        found.append(_view(name, tool.executable, ACCESS[name], cost, tool.install_hint))
    project = load_project(workdir)
    for name, entry in entries_with(project.agents if project is not None else {}).items():
        program = first_word(entry.command) or entry.command
        keys = tuple(one for one in entry.passed if one.endswith(("KEY", "TOKEN")))
        mend = f"set {keys[0]}, or log in once with `{program}`" if keys else ""
        told = "told by the agent" if "cost=" in (entry.usage or "") else "tokens only"
        cost = ("by [agents] price" if entry.price else told) if entry.tells_usage else "not known"
        view = _view(name, program, Access(keys, entry.login, mend), cost, entry.install, workdir)
        found.append(view.model_copy(update={"command": entry.command}))
    return found


def _view(
    name: str, program: str, access: "Access", cost: str, install: str, workdir: Path | None = None
) -> AgentView:
    found = shutil.which(program)
    if found is None and workdir is not None and (workdir / program).is_file():
        found = str(workdir / program)
    has = access.found(os.environ, Path.home())
    mend = install if found is None else access.mend if has is None else ""
    return AgentView(name=name, command=program, installed=found, access=has, cost=cost, mend=mend)
