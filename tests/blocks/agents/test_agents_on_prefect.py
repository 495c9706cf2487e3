"""Agent blocks on a real Prefect API: saved, loaded, limited."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support.fake_cli import claude_result, fake_cli, says
from wildloop.blocks.agents.base import Agent, AgentRequest
from wildloop.blocks.agents.claude_code import ClaudeCode
from wildloop.blocks.agents.codex import Codex
from wildloop.blocks.agents.openai_compatible import OpenAICompatible
from wildloop.blocks.agents.opencode import OpenCode
from wildloop.blocks.agents.prices import Price
from wildloop.blocks.agents.registry import AGENT_BLOCKS, load_agent
from wildloop.blocks.agents.stream_agent import StreamAgent

pytestmark = pytest.mark.server
SECRET = SecretStr("hidden-value")


@pytest.fixture(scope="module")
def api() -> Iterator[None]:
    # Imported with the tests, it would bring Prefect's server into each of pytest's processes.
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.mark.parametrize("kind", AGENT_BLOCKS)
async def test_every_kind_can_be_registered(api: None, kind: type[Agent]) -> None:
    await kind.register_type_and_schema()


@pytest.mark.parametrize(
    "agent",
    [
        ClaudeCode(
            model="opus", environment={"KEY": SECRET}, price=Price(input=1, output=2, cache_read=3)
        ),
        Codex(base_url="https://llm.example.org/v1", extra_arguments=["-c", "a=1"]),
        OpenAICompatible(model="m", api_key=SECRET, extra_headers={"X-Key": SECRET}),
        OpenCode(model="a/b", configuration={"provider": {"a": {"models": {"b": {}}}}}),
    ],
)
async def test_saved_block_is_loaded_as_it_was(api: None, agent: StreamAgent) -> None:
    await agent.save("mine", overwrite=True)
    loaded = await load_agent(f"{agent.get_block_type_slug()}/mine")
    assert isinstance(loaded, StreamAgent)
    assert loaded.model_dump() == agent.model_dump()
    assert loaded.command_line() == agent.command_line()
    assert loaded.variables() == agent.variables()


async def test_calls_of_a_limited_block_run_one_after_the_other(api: None, tmp_path: Path) -> None:
    note = "open('calls.log', 'a').write({!r})\n"
    body = note.format("(") + "time.sleep(0.3)\n" + note.format(")") + says(claude_result("ok"))
    program = fake_cli(tmp_path / "bin", body)
    agent = ClaudeCode(executable=str(program), max_concurrent=1)
    requests = [
        AgentRequest(
            prompt="", workdir=tmp_path, timeout_seconds=60, record=tmp_path / f"record-{number}"
        )
        for number in range(3)
    ]
    replies = await asyncio.gather(*map(agent.run, requests))
    assert [reply.text for reply in replies] == ["ok"] * 3
    assert (tmp_path / "calls.log").read_text() == "()" * 3
