"""Which agent a name stands for."""

import httpx
import pytest
from prefect.blocks.core import Block, UnknownBlockType

from wildloop.blocks.agents.base import AgentUnavailable
from wildloop.blocks.agents.baseline_block import BaselineAgent
from wildloop.blocks.agents.claude_code import ClaudeCode
from wildloop.blocks.agents.codex import Codex
from wildloop.blocks.agents.command import CommandAgent
from wildloop.blocks.agents.opencode import OpenCode
from wildloop.blocks.agents.registry import load_agent
from wildloop.blocks.agents.stream_agent import StreamAgent


class NotAnAgent(Block):
    """A block of another kind."""


def answer(monkeypatch: pytest.MonkeyPatch, result: Block | Exception) -> list[str]:
    """Let the Prefect API answer with a block, or fail; returns the names asked for."""
    asked: list[str] = []

    async def aload(name: str) -> Block:
        asked.append(name)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(Block, "aload", aload)
    return asked


async def test_baseline() -> None:
    assert isinstance(await load_agent("baseline"), BaselineAgent)


async def test_command() -> None:
    agent = await load_agent("command: my agent --path a/b ")
    assert isinstance(agent, CommandAgent) and agent.command == "my agent --path a/b"


@pytest.mark.parametrize(
    ("name", "kind", "model"),
    [
        ("claude", ClaudeCode, None),
        ("codex", Codex, None),
        ("opencode", OpenCode, None),
        ("claude:opus", ClaudeCode, "opus"),
        ("codex: gpt-5.5 ", Codex, "gpt-5.5"),
        ("opencode:openrouter/qwen/qwen3-coder", OpenCode, "openrouter/qwen/qwen3-coder"),
    ],
)
async def test_tools_with_and_without_a_model(
    name: str, kind: type[StreamAgent], model: str | None
) -> None:
    agent = await load_agent(name)
    assert type(agent) is kind and agent.model == model


@pytest.mark.parametrize("name", ["claude:", "codex: ", "opencode:gpt-5.5"])
async def test_model_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(AgentUnavailable, match=r"names no model|does not suit agent 'opencode'"):
        await load_agent(name)


async def test_block(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer(monkeypatch, CommandAgent(command="saved"))
    agent = await load_agent("wildloop-command-agent/mine")
    assert isinstance(agent, CommandAgent) and agent.command == "saved"
    assert asked == ["wildloop-command-agent/mine"]


@pytest.mark.parametrize("name", ["", "gpt", "/", "a/", "/b", "a/b/c", "command", "Baseline"])
async def test_unknown_name_lists_what_is_valid(name: str) -> None:
    with pytest.raises(AgentUnavailable, match=r"baseline.*command:.*<block-type>/<name>"):
        await load_agent(name)


async def test_empty_command_is_refused() -> None:
    with pytest.raises(AgentUnavailable, match="names no command"):
        await load_agent("command:  ")


@pytest.mark.parametrize("error", [ValueError("not found"), UnknownBlockType("odd")])
async def test_missing_block_says_where_to_make_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    answer(monkeypatch, error)
    with pytest.raises(AgentUnavailable, match=r"create it in the Prefect UI"):
        await load_agent("wildloop-command-agent/gone")


async def test_unreachable_server_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, httpx.ConnectError("refused"))
    with pytest.raises(AgentUnavailable, match="does not answer: refused"):
        await load_agent("wildloop-command-agent/x")


async def test_block_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, NotAnAgent())
    with pytest.raises(AgentUnavailable, match="NotAnAgent, not an agent"):
        await load_agent("notanagent/x")


async def test_block_that_no_longer_fits_names_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        CommandAgent.model_validate({"command": ""})
    except ValueError as error:
        answer(monkeypatch, error)
    with pytest.raises(AgentUnavailable, match=r"fields: command"):
        await load_agent("wildloop-command-agent/old")
