"""The built-in agent as a block: a command like any other, run by this interpreter."""

import shlex
from pathlib import Path
from typing import ClassVar

from pydantic import HttpUrl

from wildloop.blocks.agents.base import AgentUnavailable
from wildloop.blocks.agents.process import ProcessAgent
from wildloop.blocks.interpreter import own_command

PROJECT_FILE = "wildloop.toml"


class BaselineAgent(ProcessAgent):
    """No LLM: it plans, searches the space of wildloop.toml through the HTTP API, and reflects."""

    works_alone: ClassVar[bool] = True

    _block_type_name = "Wildloop Baseline Agent"
    _block_type_slug = "wildloop-baseline-agent"
    _documentation_url = HttpUrl("https://optuna.readthedocs.io/en/stable/")
    _description = (
        "Wildloop's built-in agent, without an LLM: it plans, searches the space declared in the "
        "project's wildloop.toml, analyses and reflects."
    )

    def command_line(self) -> str:
        """This interpreter with the agent's module; the project shadows nothing."""
        return f"exec {shlex.join(own_command('wildloop.blocks.agents.baseline'))}"

    async def check(self, workdir: Path) -> str:
        """See `Agent.check`: the project must declare what to train and what to search."""
        path = workdir / PROJECT_FILE
        if not path.is_file():
            raise AgentUnavailable(
                f"the baseline agent needs '{path}' (train command, metric, search space): "
                "write one, as examples/digits has it, or choose another agent"
            )
        return "baseline agent (built in, no LLM)"
