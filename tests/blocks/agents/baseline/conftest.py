"""A server in memory, and a caller of the agent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.blocks.agents.baseline.agent_calls import Caller, write_project
from tests.blocks.agents.baseline.agent_forks import Forks, loaded_agent
from tests.blocks.agents.baseline.memory_api import MemoryApi, serving


@pytest.fixture(scope="package")
def forks() -> Iterator[Forks]:
    """The agent, loaded once for all calls."""
    with loaded_agent() as found:
        yield found


@pytest.fixture
def api(forks: Forks) -> Iterator[MemoryApi]:
    """The API, answering on the loopback."""
    with serving(MemoryApi()) as found:
        found.forks = forks
        yield found


@pytest.fixture
def toy(tmp_path: Path, api: MemoryApi) -> Caller:
    """The agent in a project with two parameters."""
    return Caller(write_project(tmp_path / "toy"), api)
