"""Finds the agent that a name stands for."""

import httpx
from prefect.blocks.core import Block, UnknownBlockType
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import ValidationError

from blocks.agents.base import Agent, AgentUnavailable
from blocks.agents.baseline_block import BaselineAgent
from blocks.agents.command import CommandAgent

BASELINE = "baseline"
COMMAND_PREFIX = "command:"
VALID = (
    "give 'baseline', 'command:<shell command>', or an agent block as "
    "'<block-type>/<name>', such as 'wildloop-command-agent/<name>'"
)


async def load_agent(name: str) -> Agent:
    """The agent behind `baseline`, `command:<shell command>` or `<block-type>/<block-name>`.

    Raises:
        AgentUnavailable: the name stands for none, or the Prefect API does not answer.
    """
    if name == BASELINE:
        return BaselineAgent()
    if name.startswith(COMMAND_PREFIX):
        command = name.removeprefix(COMMAND_PREFIX).strip()
        if not command:
            raise AgentUnavailable("agent 'command:' names no command: write command:my-agent")
        return CommandAgent(command=command)
    kind, _, block_name = name.partition("/")
    if not kind or not block_name or "/" in block_name:
        raise AgentUnavailable(f"unknown agent '{name}': {VALID}")
    return await _load_block(name)


async def _load_block(name: str) -> Agent:
    try:
        block = await Block.aload(name)
    except ValidationError as error:
        fields = ", ".join(sorted({str(part) for fault in error.errors() for part in fault["loc"]}))
        raise AgentUnavailable(
            f"agent block '{name}' does not fit this version of Wildloop (fields: {fields}): "
            "edit and save it anew in the Prefect UI, under Blocks"
        ) from error
    except (ValueError, UnknownBlockType) as error:
        raise AgentUnavailable(
            f"agent block '{name}' is not on the Prefect server, or is of an unknown type: "
            f"create it in the Prefect UI, under Blocks, or {VALID}"
        ) from error
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise AgentUnavailable(
            f"agent block '{name}' cannot be read, the Prefect API does not answer: {error}"
        ) from error
    if not isinstance(block, Agent):
        raise AgentUnavailable(f"block '{name}' is a {type(block).__name__}, not an agent: {VALID}")
    return block
