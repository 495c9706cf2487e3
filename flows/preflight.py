"""Preflight: everything a session needs is there, before anything is spent."""

from collections.abc import Awaitable, Callable

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect_shell import ShellOperation

from blocks.agents.base import AgentUnavailable
from blocks.agents.command import ProcessAgent
from blocks.agents.registry import load_agent
from flows import git
from flows.errors import PreflightFailed, WildloopError
from flows.guards.isolation import isolated
from flows.guards.patterns import TooManyFiles
from flows.guards.turns import begin_guards
from flows.models.session_record import Phase
from flows.protocol.plan import abort_checklist
from flows.session import ResearchSession
from flows.settings import TOKEN_VARIABLE

MANDATORY_SKILL = "wild_v2_execution_ops_protocol"
HTTP_TIMEOUT_S = 10.0


class CheckFailed(Exception):
    """One preflight check failed; the text says why and what to do."""


Check = Callable[[ResearchSession], Awaitable[str]]


async def preflight(session: ResearchSession) -> None:
    """Run every check; write the abort checklist if any fails.

    Raises:
        PreflightFailed: with every failed check and its mend.
    """
    await session.enter(Phase.PREFLIGHT)
    failed = []
    for name, check in CHECKS.items():
        try:
            get_run_logger().info("preflight: %s: %s", name, await run_check(name, session, check))
        except CheckFailed as error:
            get_run_logger().error("preflight: %s failed: %s", name, error)
            failed.append(f"{name}: {error}")
    if failed:
        if session.workdir.is_dir():
            session.paths.root.mkdir(parents=True, exist_ok=True)
            session.paths.tasks.write_text(
                abort_checklist(session.spec.goal, failed), encoding="utf-8"
            )
            await session.save_plan()
        raise PreflightFailed("; ".join(failed))


async def run_check(name: str, session: ResearchSession, check: Check) -> str:
    """Run one check as a task of its own, so that the UI shows which one failed."""

    @task(name=f"preflight {name}", cache_policy=NO_CACHE, persist_result=False)
    async def run() -> str:
        return await check(session)

    return await run()


async def _repository(session: ResearchSession) -> str:
    if not session.workdir.is_dir():
        raise CheckFailed(f"workdir '{session.workdir}' does not exist: create it")
    if not await git.is_repository(session.workdir):
        raise CheckFailed(
            f"workdir '{session.workdir}' is not a git repository: run `git init` there and "
            "commit once"
        )
    if (other := await session.sessions.holder_of(session.id)) is not None:
        raise CheckFailed(
            f"session '{other}' works in '{session.workdir}' already: stop it first, or use "
            "another clone"
        )
    return f"git repository at {await git.head_commit(session.workdir)}"


async def _api(session: ResearchSession) -> str:
    await _get(session, "/health")
    return f"{session.settings.server_url} answers"


async def _skill(session: ResearchSession) -> str:
    await _get(session, f"/prompt-skills/{MANDATORY_SKILL}")
    return f"skill {MANDATORY_SKILL} is there"


async def _get(session: ResearchSession, path: str) -> None:
    url = session.settings.server_url + path
    async with httpx.AsyncClient(timeout=HTTP_TIMEOUT_S) as http:
        try:
            response = await http.get(url)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise CheckFailed(
                f"GET {url} does not answer ({error}): start it with `wildloop up`"
            ) from error


async def _agent(session: ResearchSession) -> str:
    try:
        agent = await load_agent(session.spec.agent)
        session.agent = isolated(agent, session.workdir, session.project)
        said = await session.agent.check(session.workdir)
        if isinstance(session.agent, ProcessAgent):
            said += f"; {await session.agent.check_isolation(session.workdir)}"
        return said
    except AgentUnavailable as error:
        raise CheckFailed(str(error)) from error


async def _compute(session: ResearchSession) -> str:
    try:
        capacity = await session.cluster.capacity()
        cluster = await session.cluster.cluster()
    except WildloopError as error:
        raise CheckFailed(str(error)) from error
    return f"{cluster.label}: {capacity.g} slots"


async def _protected(session: ResearchSession) -> str:
    try:
        return await begin_guards(session)
    except (OSError, TooManyFiles) as error:
        raise CheckFailed(f"the protected files cannot be recorded: {error}") from error


async def _project(session: ResearchSession) -> str:
    """Read wildloop.toml, if there is one, and run the project's own set-up commands."""
    commands = list(session.project.project.setup) if session.project else []
    if not commands:
        return "no set-up commands"
    # The token is for the agent alone: a project's set-up has no use for it.
    async with ShellOperation(
        commands=commands,
        working_dir=session.workdir,
        env={TOKEN_VARIABLE: "", "PREFECT_API_AUTH_STRING": ""},
    ) as operation:
        process = await operation.trigger()
        try:
            await process.wait_for_completion()
        except RuntimeError as error:
            raise CheckFailed(f"a set-up command of wildloop.toml failed: {error}") from error
    return f"{len(commands)} set-up commands run"


CHECKS: dict[str, Check] = {
    "repository": _repository,
    "API": _api,
    "mandatory skill": _skill,
    "agent": _agent,
    "compute": _compute,
    "project": _project,
    "protected files": _protected,
}
