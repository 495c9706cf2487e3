"""The sandbox of a session's agent, as the project wants it."""

from pathlib import Path

from blocks.agents.base import Agent
from blocks.agents.command import ProcessAgent
from blocks.agents.sandbox import Mode, Sandbox
from flows.guards.patterns import roots
from flows.project import AgentConfig, ProjectConfig


def isolated(agent: Agent, workdir: Path, project: ProjectConfig | None) -> Agent:
    """The agent with the sandbox of wildloop.toml, in which protected files are read-only."""
    if not isinstance(agent, ProcessAgent) or project is None:
        return agent
    sandbox = agent.isolation if project.agent.sandbox is None else _wanted(project.agent)
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
