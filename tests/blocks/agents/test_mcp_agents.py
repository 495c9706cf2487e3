"""The agent CLIs are handed Wildloop's MCP server: what they are told, and that they use it."""

import json
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blocks.agents.test_agent_clis import Desk
from tests.support.server import Server
from tests.support.stub_models import Say, Step, StubModel, Use
from wildloop.blocks.agents.claude_code import ClaudeCode
from wildloop.blocks.agents.codex import Codex
from wildloop.blocks.agents.opencode import OpenCode
from wildloop.blocks.agents.registry import TOOLS
from wildloop.blocks.interpreter import own_command

ARGUMENTS = own_command("wildloop", "mcp")[1:]


def codex_settings(agent: Codex) -> dict[str, Any]:
    """What Codex reads from its `-c` options."""
    words = agent.arguments()
    given = [words[place + 1] for place, word in enumerate(words) if word == "-c"]
    return tomllib.loads("\n".join(given))


def test_claude_code_is_given_the_server_before_another_option() -> None:
    words = ClaudeCode(extra_arguments=["more"]).arguments()
    place = words.index("--mcp-config")
    assert words[place + 2].startswith("--")
    server = json.loads(words[place + 1])["mcpServers"]["wildloop"]
    assert (server["command"], server["args"]) == (sys.executable, ARGUMENTS)
    assert server["alwaysLoad"] is True


def test_codex_is_given_the_server_and_the_names_of_its_variables() -> None:
    server = codex_settings(Codex())["mcp_servers"]["wildloop"]
    assert (server["command"], server["args"]) == (sys.executable, ARGUMENTS)
    wanted = {"WILDLOOP_AUTH_TOKEN", "WILDLOOP_SERVER_URL", "WILDLOOP_SESSION_ID"}
    assert wanted <= set(server["env_vars"])
    assert server["required"] is True


def test_codex_reads_any_path_of_the_python(monkeypatch: pytest.MonkeyPatch) -> None:
    path = '/home/ü 😀 "me"\\/bin/python'
    monkeypatch.setattr(sys, "executable", path)
    assert codex_settings(Codex())["mcp_servers"]["wildloop"]["command"] == path


def test_opencode_is_given_the_server_beside_the_user_s_own() -> None:
    own = {"mine": {"type": "local", "command": ["x"]}}
    agent = OpenCode(configuration={"mcp": own, "theme": "dark"})
    found = json.loads(agent.settings()["OPENCODE_CONFIG_CONTENT"])
    assert found["theme"] == "dark"
    assert found["mcp"]["mine"] == own["mine"]
    assert found["mcp"]["wildloop"]["command"] == [sys.executable, *ARGUMENTS]


def test_opencode_s_user_may_switch_the_server_off() -> None:
    agent = OpenCode(configuration={"mcp": {"wildloop": {"enabled": False}}})
    found = json.loads(agent.settings()["OPENCODE_CONFIG_CONTENT"])
    assert found["mcp"]["wildloop"] == {"enabled": False}


@pytest.fixture(params=sorted(TOOLS))
def tool_desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(request.param, tmp_path)
    yield desk
    assert desk.processes() == []


def steps(desk: Desk, *uses: Step) -> list[Step]:
    """Codex shows the tools of a server only to a model that searches for them."""
    search = [Use("tool_search", {"query": "create a run"})] if desk.name == "codex" else []
    return [*search, *uses, Say("Done.\n<summary>done</summary>")]


@pytest.mark.agent_cli
async def test_agent_creates_a_run_by_a_tool_in_its_own_session(
    server: Server, tool_desk: Desk, project: Path
) -> None:
    session_id = server.start(project, "command:true", max_iterations=1)
    arguments = {"name": f"by {tool_desk.name}", "command": "true", "gpus": 0}
    env = {
        "WILDLOOP_SERVER_URL": server.url,
        "WILDLOOP_AUTH_TOKEN": server.token,
        "WILDLOOP_SESSION_ID": session_id,
    }
    with StubModel(*steps(tool_desk, Use("create_run", arguments))) as model:
        reply = await tool_desk.agent(model).run(tool_desk.request(env=env))
    assert (reply.exit_reason, reply.error) == ("finished", None)
    runs = server.get("/runs", chat_session_id=session_id)
    (run,) = [run for run in runs if run["name"] == arguments["name"]]
    assert run["workdir"] == str(tool_desk.workdir)
    assert run["id"] in json.dumps(model.main[-1].body)
    stored = [path.read_bytes() for path in tool_desk.root.rglob("*") if path.is_file()]
    assert stored and not any(server.token.encode() in content for content in stored)


@pytest.mark.agent_cli
async def test_agent_hears_that_the_server_is_away_and_goes_on(tool_desk: Desk) -> None:
    env = {"WILDLOOP_SERVER_URL": "http://127.0.0.1:1", "WILDLOOP_AUTH_TOKEN": "x" * 16}
    arguments = {"name": "a", "command": "true"}
    with StubModel(*steps(tool_desk, Use("create_run", arguments))) as model:
        reply = await tool_desk.agent(model).run(tool_desk.request(env=env))
    assert (reply.exit_reason, reply.error) == ("finished", None)
    assert "start one with `wildloop up`" in json.dumps(model.main[-1].body)
