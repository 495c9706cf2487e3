"""Agents that are a command each: the known ones, a project's own, and what their output tells."""

import json
import shlex
from pathlib import Path

import pytest

from wildloop.blocks.agents.base import AgentReply, AgentRequest, AgentUnavailable
from wildloop.blocks.agents.command import CommandAgent
from wildloop.blocks.agents.entry import AgentEntry
from wildloop.blocks.agents.prices import Price
from wildloop.blocks.agents.registry import load_agent
from wildloop.blocks.agents.table import KNOWN
from wildloop.blocks.agents.told import told_of

# As gemini 0.61, qwen 0.15 and pi 0.73 print them, shortened.
GEMINI = {
    "session_id": "x",
    "response": "Fine.\n<promise>DONE</promise>",
    "stats": {
        "models": {
            "gemini-2.5-pro": {"tokens": {"prompt": 1000, "candidates": 50, "cached": 400}},
            "gemini-2.5-flash": {"tokens": {"prompt": 100, "candidates": 5, "cached": 0}},
        }
    },
}
QWEN = [
    {"type": "assistant", "message": {"usage": {"input_tokens": 1, "output_tokens": 1}}},
    {
        "type": "result",
        "result": "Fine.",
        "usage": {"input_tokens": 900, "output_tokens": 40, "cache_read_input_tokens": 300},
    },
]


def _said(text: str, tokens: int) -> dict[str, object]:
    usage = {"input": tokens, "output": 2, "cacheRead": 1, "cacheWrite": 0, "cost": {"total": 0.5}}
    return {"role": "assistant", "content": [{"type": "text", "text": text}], "usage": usage}


PI = [
    {"type": "turn_end", "message": _said("I look.", 10)},
    {"type": "turn_end", "message": _said("Fine.", 20)},
    {"type": "agent_end", "messages": [_said("I look.", 10), _said("Fine.", 20)]},
]


async def call(agent: CommandAgent, folder: Path) -> AgentReply:
    request = AgentRequest(
        prompt="Do it.", workdir=folder, timeout_seconds=60, record=folder / "record"
    )
    return await agent.run(request)


async def test_a_projects_own_agent_is_called_by_its_name(tmp_path: Path) -> None:
    said = json.dumps({"out": "Fine.", "tokens": {"in": 1_000_000, "out": 10}})
    entry = AgentEntry.model_validate(
        {
            "command": f"cat > got; printf %s {shlex.quote(said)} #",
            "usage": "jsonl:text=out,input=tokens.in,output=tokens.out",
            "price": Price(input=2, output=0, cache_read=0),
            "model_option": "--model",
        }
    )
    agent = await load_agent("mine:big", {"mine": entry})
    assert isinstance(agent, CommandAgent) and agent.command.endswith("# --model big")
    reply = await call(agent, tmp_path)
    assert (reply.exit_reason, reply.text, reply.error) == ("finished", "Fine.", None)
    assert reply.usage == {"input": 1_000_000, "output": 10}
    assert (reply.cost_usd, reply.cost_is_estimate) == (2.0, True)
    assert (tmp_path / "got").read_text() == "Do it."


async def test_the_variables_that_an_entry_names_are_passed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("X_API_KEY", "secret-of-x-1")
    monkeypatch.setenv("Y_API_KEY", "secret-of-y-1")
    command = 'printf %s "${X_API_KEY:+x}${Y_API_KEY:+y}"'
    entry = AgentEntry.model_validate({"command": command, "pass": ["X_API_KEY"]})
    agent = await load_agent("mine", {"mine": entry})
    assert isinstance(agent, CommandAgent)
    assert (await call(agent, tmp_path)).text == "x"


@pytest.mark.parametrize(
    ("name", "output", "text", "usage"),
    [
        ("gemini", json.dumps(GEMINI, indent=2), "Fine.\n<promise>DONE</promise>",
         {"input": 1100, "output": 55}),
        ("qwen", json.dumps(QWEN), "Fine.", {"input": 900, "output": 40}),
        ("pi", "\n".join(json.dumps(one) for one in PI), "Fine.",
         {"input": 30, "output": 4, "cache_read": 2, "cache_write": 0}),
    ],
)  # fmt: skip
def test_what_a_known_agents_output_tells(
    name: str, output: str, text: str, usage: dict[str, int]
) -> None:
    spec = KNOWN[name].usage
    assert spec is not None
    told = told_of(spec, f"{output}\n")
    assert (told.text, told.usage) == (text, usage)
    assert told.cost_usd == (1.0 if name == "pi" else None)


async def test_output_that_is_no_json_is_the_reply_itself(tmp_path: Path) -> None:
    agent = CommandAgent(command="echo plain words", usage="json:text=response,input=tokens")
    reply = await call(agent, tmp_path)
    assert (reply.text.strip(), reply.usage, reply.cost_usd) == ("plain words", {}, None)


async def test_a_plain_command_of_a_known_tool_keeps_that_tools_key() -> None:
    agent = await load_agent("command:gemini --yolo")
    assert isinstance(agent, CommandAgent) and "GEMINI_API_KEY" in agent.pass_variables
    other = await load_agent("command:my-agent")
    assert isinstance(other, CommandAgent) and other.pass_variables == []


async def test_a_project_may_say_otherwise_than_the_table() -> None:
    entry = AgentEntry(command="my-gemini")
    agent = await load_agent("gemini", {"gemini": entry})
    assert isinstance(agent, CommandAgent) and agent.command == "my-gemini"
    with pytest.raises(AgentUnavailable, match=r"model_option in wildloop\.toml"):
        await load_agent("gemini:pro", {"gemini": entry})


@pytest.mark.parametrize("spec", ["usage.input", "json:", "json:words=a", "jsonl:input"])
def test_a_usage_that_cannot_be_read_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match=r"json:|NAME=PLACE"):
        AgentEntry(command="x", usage=spec)
