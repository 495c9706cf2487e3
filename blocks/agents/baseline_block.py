"""The built-in agent as a block: a command like any other, run by this interpreter."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from blocks.agents.base import AgentUnavailable
from blocks.agents.command import ProcessAgent

PROJECT_FILE = "wildloop.toml"


class BaselineAgent(ProcessAgent):
    """No LLM: it plans, searches the space of wildloop.toml through the HTTP API, and reflects."""

    _block_type_name = "Wildloop Baseline Agent"
    _block_type_slug = "wildloop-baseline-agent"
    _description = (
        "Wildloop's built-in agent, without an LLM: it plans, searches the space declared in the "
        "project's wildloop.toml, analyses and reflects."
    )

    def command_line(self) -> str:
        """This interpreter with the agent's module; `-P`: the project's folder shadows nothing."""
        return f"exec {shlex.quote(sys.executable)} -P -m blocks.agents.baseline"

    def kept_variables(self) -> Sequence[str]:
        """PYTHONPATH, by which Wildloop itself may have been found."""
        return ("PYTHONPATH",)

    async def check(self, workdir: Path) -> str:
        """See `Agent.check`: the project must declare what to train and what to search."""
        path = workdir / PROJECT_FILE
        if not path.is_file():
            raise AgentUnavailable(
                f"the baseline agent needs '{path}' (train command, metric, search space): "
                "write one, as examples/digits has it, or choose another agent"
            )
        return "baseline agent (built in, no LLM)"
