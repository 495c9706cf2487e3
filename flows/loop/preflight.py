"""Preflight: everything a session needs is there, before anything is spent."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect_shell import ShellOperation

from wildloop.blocks.agents.base import AgentUnavailable
from wildloop.blocks.agents.process import ProcessAgent
from wildloop.blocks.proxies import async_transport_to
from wildloop.flows.errors import PreflightFailed, WildloopError
from wildloop.flows.git import repository
from wildloop.flows.git.scratch import try_hooks
from wildloop.flows.guards.isolation import session_agent
from wildloop.flows.guards.patterns import TooManyFiles
from wildloop.flows.loop.protection import begin_guards
from wildloop.flows.loop.work import Work
from wildloop.flows.models.session_record import Phase
from wildloop.flows.project import missing_references
from wildloop.flows.protocol.plan import abort_checklist
from wildloop.flows.settings import TOKEN_VARIABLE
from wildloop.flows.skills.fixed import shadowing

MANDATORY_SKILL = "wild_v2_execution_ops_protocol"
HTTP_TIMEOUT_S = 10.0


class CheckFailed(Exception):
    """One preflight check failed; the text says why and what to do."""


Check = Callable[[Work], Awaitable[str]]


async def preflight(work: Work) -> None:
    """Run every check; write the abort checklist if any fails.

    Raises:
        PreflightFailed: with every failed check and its mend.
    """
    position = work.position
    await position.enter(Phase.PREFLIGHT)
    failed = []
    for name, check in CHECKS.items():
        try:
            get_run_logger().info("preflight: %s: %s", name, await run_check(name, work, check))
        except CheckFailed as error:
            get_run_logger().error("preflight: %s failed: %s", name, error)
            failed.append(f"{name}: {error}")
    if failed:
        if position.workdir.is_dir():
            position.paths.root.mkdir(parents=True, exist_ok=True)
            position.paths.tasks.write_text(
                abort_checklist(position.spec.goal, failed), encoding="utf-8"
            )
            await position.save_plan()
        raise PreflightFailed("; ".join(failed))


async def run_check(name: str, work: Work, check: Check) -> str:
    """Run one check as a task of its own, so that the UI shows which one failed."""

    @task(name=f"preflight {name}", cache_policy=NO_CACHE, persist_result=False)
    async def run() -> str:
        return await check(work)

    return await run()


async def _repository(work: Work) -> str:
    workdir = work.position.workdir
    if not workdir.is_dir():
        raise CheckFailed(f"workdir '{workdir}' does not exist: create it")
    if not await repository.is_repository(workdir):
        raise CheckFailed(
            f"workdir '{workdir}' is not a git repository: run `git init` there and commit once"
        )
    if fault := await repository.in_the_way(workdir):
        raise CheckFailed(fault)
    if (other := await work.stores.sessions.holder_of(work.position.id)) is not None:
        raise CheckFailed(
            f"session '{other}' works in '{workdir}' already: stop it first, or use another clone"
        )
    return f"git repository at {await repository.head_commit(workdir)}"


async def _api(work: Work) -> str:
    await _get(work.settings.server_url, "/health")
    return f"{work.settings.server_url} answers"


async def _skill(work: Work) -> str:
    await _get(work.settings.server_url, f"/prompt-skills/{MANDATORY_SKILL}")
    own = await asyncio.to_thread(shadowing, work.library)
    more = f"; for shipped skills stand the project's: {', '.join(own)}" if own else ""
    return f"skill {MANDATORY_SKILL} is there{more}"


async def _get(server_url: str, path: str) -> None:
    url = server_url + path
    transport = async_transport_to(url, ours=True)
    async with httpx.AsyncClient(timeout=HTTP_TIMEOUT_S, transport=transport) as http:
        try:
            response = await http.get(url)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise CheckFailed(
                f"GET {url} does not answer ({error}): start it with `wildloop up`"
            ) from error


async def _agent(work: Work) -> str:
    workdir = work.position.workdir
    try:
        agent = await session_agent(work.position.spec.agent, workdir, work.project)
        work.agent = agent
        agent.check_number(work.position.spec.researchers)
        said = await agent.check(workdir)
        if isinstance(agent, ProcessAgent):
            said += f"; {await agent.check_isolation(workdir)}"
        return said
    except AgentUnavailable as error:
        raise CheckFailed(str(error)) from error


async def _compute(work: Work) -> str:
    try:
        capacity = await work.stores.cluster.capacity()
        cluster = await work.stores.cluster.cluster()
    except WildloopError as error:
        raise CheckFailed(str(error)) from error
    return f"{cluster.label}: {capacity.g} slots"


async def _protected(work: Work) -> str:
    try:
        return await begin_guards(work)
    except (OSError, TooManyFiles) as error:
        raise CheckFailed(f"the protected files cannot be recorded: {error}") from error


async def _project(work: Work) -> str:
    """Read wildloop.toml, if there is one, and run the project's own set-up commands."""
    commands = list(work.project.project.setup) if work.project else []
    if not commands:
        return "no set-up commands"
    # The token is for the agent alone: a project's set-up has no use for it.
    async with ShellOperation(
        commands=commands,
        working_dir=work.position.workdir,
        env={TOKEN_VARIABLE: "", "PREFECT_API_AUTH_STRING": ""},
    ) as operation:
        process = await operation.trigger()
        try:
            await process.wait_for_completion()
        except RuntimeError as error:
            raise CheckFailed(f"a set-up command of wildloop.toml failed: {error}") from error
    return f"{len(commands)} set-up commands run"


async def _references(work: Work) -> str:
    """What planning is to read lies where wildloop.toml says."""
    if work.project is None:
        return "none are named"
    if fault := missing_references(work.project, work.position.workdir):
        raise CheckFailed(f"wildloop.toml: {fault}")
    return "all that are named are there"


async def _hooks(work: Work) -> str:
    """Where the user wants hooks for the session's commits: whether they take one."""
    if work.project is None or not work.project.git.hooks:
        return "the repository's hooks are not run"
    try:
        await try_hooks(work.position.workdir)
    except repository.GitError as error:
        raise CheckFailed(
            f"the repository's hooks refuse a commit of a session ({error}): mend them, or set "
            "[git] hooks = false in wildloop.toml"
        ) from error
    return "the repository's hooks take a commit of a session"


CHECKS: dict[str, Check] = {
    "repository": _repository,
    "hooks": _hooks,
    "API": _api,
    "mandatory skill": _skill,
    "agent": _agent,
    "compute": _compute,
    "project": _project,
    "references": _references,
    "protected files": _protected,
}
