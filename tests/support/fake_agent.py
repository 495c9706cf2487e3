"""Agents of a running server whose program is a stand-in: they print events, cost, limits."""

import asyncio
import json
from pathlib import Path
from typing import Any

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.support.fake_cli import claude_result, claude_text, fake_cli
from tests.support.server import Server
from wildloop.blocks.agents.claude_code import ClaudeCode


def fake_agent(server: Server, name: str, folder: Path, *calls: str, **fields: Any) -> str:
    """Save an agent block whose n-th call runs the n-th body; return its name for `start`."""
    program = fake_cli(folder, *calls)
    agent = ClaudeCode.model_validate({"executable": str(program), "retries": 0, **fields})

    async def save() -> None:
        await agent.save(name, overwrite=True)

    url = f"http://127.0.0.1:{server.prefect_port}/api"
    secret = f"wildloop:{server.token}"
    with temporary_settings({PREFECT_API_URL: url, PREFECT_API_AUTH_STRING: secret}):
        asyncio.run(save())
    return f"{agent.get_block_type_slug()}/{name}"


def answers(text: str, *said: str, cost: float = 0.5) -> str:
    """A body that says some things, then comes to its proper end with `text`."""
    events = [claude_text(one, f"m{number}") for number, one in enumerate(said)]
    events.append(claude_result(text, cost))
    return f"for event in json.loads({json.dumps(events)!r}): say(event)"
