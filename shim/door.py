"""What is known to be wrong before a session begins: said at once, all of it, with the mends."""

import asyncio
import os
from pathlib import Path

from wildloop.blocks.agents.base import AgentUnavailable
from wildloop.blocks.agents.baseline.config import ConfigError, read_project
from wildloop.blocks.agents.process import ProcessAgent
from wildloop.blocks.agents.registry import BASELINE
from wildloop.flows.errors import Conflict, InvalidRequest, WildloopError
from wildloop.flows.git import repository
from wildloop.flows.guards.isolation import session_agent
from wildloop.flows.models.session_options import SessionStart
from wildloop.flows.project import ProjectConfig, load_project
from wildloop.flows.store.sessions import SessionStore

RUNS = "- runs: 0 used of {runs}"
# A login, or a server that asks for none, may lie where these point.
ELSEWHERE = ("ANTHROPIC_BASE_URL", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "OPENAI_BASE_URL")


async def check_at_the_door(body: SessionStart, sessions: SessionStore, is_one_host: bool) -> None:
    """Refuse a session that cannot begin.

    Args:
        body: what is asked for.
        sessions: to know who works in the folder.
        is_one_host: agents run on this machine, so that theirs can be looked for here.

    Raises:
        Conflict: nothing is wrong but that another session works in the folder.
        InvalidRequest: with every fault and its mend.
    """
    folder = Path(body.workdir or str(sessions.settings.workdir)).expanduser().resolve()
    faults = await _repository(folder, body.workdir or str(folder))
    project: ProjectConfig | None = None
    if folder.is_dir():
        try:
            project = await asyncio.to_thread(load_project, folder)
        except InvalidRequest as error:
            faults.append(str(error))
        else:
            faults += await asyncio.to_thread(_baseline, body, folder)
        if is_one_host:
            faults += await _agent(body, folder, project)
    taken = await sessions.active_in(folder)
    conflict = (
        f"session '{taken}' is active in workdir '{folder}': stop it first, or use another clone"
        if taken is not None
        else None
    )
    if faults:
        raise InvalidRequest("; ".join([*faults, *([conflict] if conflict else [])]))
    if conflict is not None:
        raise Conflict(conflict)


async def _repository(folder: Path, text: str) -> list[str]:
    if not folder.is_dir():
        return [f"workdir '{text}' does not exist: create it, or give another"]
    if not await repository.is_repository(folder):
        return [f"workdir '{text}' is not a git repository: run `git init` there and commit once"]
    if await repository.head_commit(folder) is None:
        return [f"workdir '{text}' has no commit: run `git commit` there once"]
    return []


def _baseline(body: SessionStart, folder: Path) -> list[str]:
    """What the built-in agent lacks in wildloop.toml, and of its budget."""
    if body.agent != BASELINE:
        return []
    try:
        found = read_project(folder)
        if body.budget.runs is not None:
            found.bounded(RUNS.format(runs=body.budget.runs))
    except ConfigError as error:
        return [
            f"{error} (`wildloop init` drafts one)" if "is missing" in str(error) else str(error)
        ]
    return []


async def _agent(body: SessionStart, folder: Path, project: ProjectConfig | None) -> list[str]:
    name = body.agent
    try:
        agent = await session_agent(name, folder, project)
        agent.check_number(body.researchers)
        await agent.check(folder)
        if isinstance(agent, ProcessAgent):
            await agent.check_isolation(folder)
    except (AgentUnavailable, WildloopError) as error:
        return [f"agent: {error}"]
    return [fault] if (fault := _access(name, project)) else []


def _access(name: str, project: ProjectConfig | None) -> str:
    """That a known tool has neither key nor login here."""
    # The command line's checks are the one table of who logs in how.
    from wildloop.shim.cli.agent_checks import ACCESS

    tool = name.partition(":")[0]
    known = ACCESS.get(tool)
    # opencode has models that need no key; a login may lie elsewhere on other systems.
    if known is None or tool == "opencode" or os.uname().sysname != "Linux":
        return ""
    home = Path.home()
    is_set = any(os.environ.get(name) for name in ELSEWHERE)
    if is_set or known.found(os.environ, home) is not None:
        return ""
    if (home / ".claude" / "settings.json").exists() and tool == "claude":
        return ""
    return f"agent '{tool}': no key and no login found: {known.mend}"
