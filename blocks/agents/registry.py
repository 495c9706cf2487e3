"""Finds the agent that a name stands for."""

from prefect.blocks.core import Block

from blocks.agents.base import Agent, AgentUnavailable
from blocks.agents.command import BaselineAgent, CommandAgent

COMMAND_PREFIX = "command:"


async def load_agent(name: str) -> Agent:
    """The agent behind `baseline`, `command:<shell command>` or `block-type/block-name`.

    Raises:
        AgentUnavailable: the name stands for none.
    """
    if name == "baseline":
        return BaselineAgent()
    if name.startswith(COMMAND_PREFIX):
        command = name.removeprefix(COMMAND_PREFIX).strip()
        if not command:
            raise AgentUnavailable("agent 'command:' has no command: write command:my-agent")
        return CommandAgent(command=command)
    if "/" in name:
        try:
            block = await Block.aload(name)
        except ValueError as error:
            raise AgentUnavailable(
                f"agent block '{name}' is not on the Prefect server: create it in the UI "
                "(Blocks) or by code"
            ) from error
        if isinstance(block, Agent):
            return block
        raise AgentUnavailable(f"block '{name}' is a {type(block).__name__}, not an agent")
    raise AgentUnavailable(
        f"unknown agent '{name}': give baseline, command:<shell command>, or a block as "
        "wildloop-command-agent/<name>"
    )
