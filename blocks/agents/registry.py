"""Finds the agent that a name stands for."""

import re
from collections.abc import Mapping

import httpx
from prefect.blocks.core import Block, UnknownBlockType
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import ValidationError

from wildloop.blocks.agents.base import Agent, AgentUnavailable
from wildloop.blocks.agents.baseline_block import BaselineAgent
from wildloop.blocks.agents.claude_code import ClaudeCode
from wildloop.blocks.agents.codex import Codex
from wildloop.blocks.agents.command import CommandAgent, first_word
from wildloop.blocks.agents.entry import AgentEntry
from wildloop.blocks.agents.openai_compatible import OpenAICompatible
from wildloop.blocks.agents.opencode import OpenCode
from wildloop.blocks.agents.stream_agent import StreamAgent
from wildloop.blocks.agents.table import KNOWN, agent_of, entries_with, known_by

BASELINE = "baseline"
COMMAND_PREFIX = "command:"
OPENAI_PREFIX = "openai:"
# A model's name may hold colons and slashes.
_MODEL_AT_URL = re.compile(r"(?P<model>.+?)(?:@(?P<base_url>https?://.*))?", re.DOTALL)
TOOLS: Mapping[str, type[StreamAgent]] = {
    "claude": ClaudeCode,
    "opencode": OpenCode,
    "codex": Codex,
}
# Every kind of agent, for whoever registers the block types.
AGENT_BLOCKS: tuple[type[Agent], ...] = (
    BaselineAgent,
    CommandAgent,
    OpenAICompatible,
    *TOOLS.values(),
)
VALID = (
    "give 'baseline', 'claude', 'opencode' or 'codex' (with a model: 'claude:<model>'), one of "
    f"{', '.join(KNOWN)}, or of [agents.NAME] in wildloop.toml, "
    "'openai:<model>@<API URL>', 'command:<shell command>', or an agent block as "
    "'<block-type>/<name>', such as "
    "'wildloop-claude-code-agent/<name>'"
)


def may_be_declared(name: str) -> bool:
    """Whether a name may be that of a project's [agents.NAME], with a model or without."""
    first = name.partition(":")[0]
    return "/" not in first and first not in (BASELINE, "openai", "command", *TOOLS)


async def load_agent(name: str, declared: Mapping[str, AgentEntry] | None = None) -> Agent:
    """The agent that a name stands for.

    `baseline`; `claude`, `opencode`, `codex`, each with `:<model>` after it or without;
    `openai:<model>@<API URL>`, without the URL OpenAI's own;
    `command:<shell command>`; `<block-type>/<block-name>` for a saved block; a name of the table
    of known commands, or of `declared`, the [agents.NAME] of the project.

    Raises:
        AgentUnavailable: the name stands for none, or the Prefect API does not answer.
    """
    if name == BASELINE:
        return BaselineAgent()
    tool, colon, model = name.partition(":")
    if tool in TOOLS:
        return _tool(TOOLS[tool], tool, model.strip() if colon else None)
    if name.startswith(OPENAI_PREFIX):
        return _openai(name)
    if name.startswith(COMMAND_PREFIX):
        command = name.removeprefix(COMMAND_PREFIX).strip()
        if not command:
            raise AgentUnavailable("agent 'command:' names no command: write command:my-agent")
        known = known_by(first_word(command))
        passed = list(known.passed) if known is not None else []
        return CommandAgent(command=command, pass_variables=passed)
    if (entry := entries_with(declared or {}).get(tool)) is not None and may_be_declared(name):
        return _entry(entry, tool, model.strip() if colon else None)
    kind, _, block_name = name.partition("/")
    if not kind or not block_name or "/" in block_name:
        raise AgentUnavailable(f"unknown agent '{name}': {VALID}")
    return await _load_block(name)


def _entry(entry: AgentEntry, name: str, model: str | None) -> Agent:
    if model == "":
        raise AgentUnavailable(f"agent '{name}:' names no model: write {name}:<model>, or {name}")
    if model is not None and entry.model_option is None:
        raise AgentUnavailable(
            f"agent '{name}' takes no model: give [agents.{name}] model_option in wildloop.toml"
        )
    return agent_of(entry, model)


def _tool(kind: type[StreamAgent], name: str, model: str | None) -> StreamAgent:
    if model == "":
        raise AgentUnavailable(f"agent '{name}:' names no model: write {name}:<model>, or {name}")
    try:
        return kind.model_validate({"model": model})
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise AgentUnavailable(f"model '{model}' does not suit agent '{name}': {fault}") from error


def _openai(name: str) -> OpenAICompatible:
    found = _MODEL_AT_URL.fullmatch(name.removeprefix(OPENAI_PREFIX).strip())
    if found is None or found["model"].startswith(("@", "http")):
        raise AgentUnavailable(
            "agent 'openai:' names no model: write openai:<model>@<API URL>, such as "
            "openai:qwen3-coder@http://127.0.0.1:8000/v1"
        )
    fields = {key: value for key, value in found.groupdict().items() if value is not None}
    try:
        return OpenAICompatible.model_validate(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        raise AgentUnavailable(
            f"{'.'.join(map(str, fault['loc']))} of agent 'openai:': {fault['msg']}"
        ) from error


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
