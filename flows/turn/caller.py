"""What it takes to call a session's agent."""

from dataclasses import dataclass

from wildloop.blocks.agents.base import Agent
from wildloop.flows.run.control import RunControl
from wildloop.flows.session.agent_token import tokens_of
from wildloop.flows.session.position import Position
from wildloop.flows.settings import SERVER_URL_VARIABLE, TOKEN_VARIABLE, Settings
from wildloop.flows.store.stores import Stores


@dataclass(frozen=True)
class Caller:
    """The agent, whose calls are noted in the position, and the line to the worker."""

    position: Position
    agent: Agent
    control: RunControl
    stores: Stores
    settings: Settings

    @property
    def tokens(self) -> tuple[str, ...]:
        """The agent's token and the user's, which are masked wherever the agent has written them.

        Empty where the server asks for none.
        """
        return tokens_of(self.settings, self.position.called)

    def environment(self, kind: str, index: int) -> dict[str, str]:
        """The variables that an agent's process gets on top of its scrubbed environment."""
        paths = self.position.paths
        env = {
            SERVER_URL_VARIABLE: self.settings.server_url,
            "WILDLOOP_SESSION_ID": self.position.called,
            "WILDLOOP_PHASE": kind,
            "WILDLOOP_ITERATION": str(index),
            "WILDLOOP_TASKS_PATH": str(paths.tasks),
            "WILDLOOP_SESSION_DIR": str(paths.root),
        }
        if self.tokens:
            env[TOKEN_VARIABLE] = self.tokens[0]
        return env
