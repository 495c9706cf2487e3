"""The sandbox of a session's agent, as the project wants it."""

from pathlib import Path

from wildloop.blocks.agents.base import Agent
from wildloop.blocks.agents.process import ProcessAgent
from wildloop.blocks.agents.registry import load_agent
from wildloop.blocks.agents.sandbox import Mode, Sandbox
from wildloop.flows.guards.patterns import roots
from wildloop.flows.project import AgentConfig, ProjectConfig


async def session_agent(name: str, workdir: Path, project: ProjectConfig | None) -> Agent:
    """The agent of a session: by its name or the project's [agents.NAME], in its sandbox.

    Raises:
        AgentUnavailable: the name stands for none.
    """
    declared = project.agents if project is not None else None
    return isolated(await load_agent(name, declared), workdir, project)


def isolated(agent: Agent, workdir: Path, project: ProjectConfig | None) -> Agent:
    """The agent with the sandbox of wildloop.toml, in which protected files are read-only."""
    if not isinstance(agent, ProcessAgent) or project is None:
        return agent
    sandbox = agent.isolation if project.agent.sandbox is None else _wanted(project.agent)
    if project.holdout is not None and project.agent.sandbox is None and sandbox.mode == "off":
        # What is sealed is hidden by the sandbox.
        sandbox = sandbox.model_copy(update={"mode": "auto"})
    read_only = [*sandbox.read_only, *roots(workdir, project.protected_patterns)]
    agent.isolation = sandbox.model_copy(update={"read_only": read_only})
    return agent


def _wanted(config: AgentConfig) -> Sandbox:
    mode: Mode = "auto" if config.sandbox == "auto" else "on" if config.sandbox else "off"
    return Sandbox(
        mode=mode,
        network=config.sandbox_network,
        writable=config.sandbox_writable,
        hidden=config.sandbox_hidden,
    )
