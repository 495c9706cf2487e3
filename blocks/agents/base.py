"""The agent interface: a coding agent is called with a prompt and answers with text."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from prefect.blocks.core import Block
from pydantic import BaseModel, Field

KEPT_NAMES = frozenset(
    {
        "PATH",
        "HOME",
        "LANG",
        "LANGUAGE",
        "TERM",
        "TMPDIR",
        "TZ",
        "USER",
        "LOGNAME",
        "SHELL",
        "VIRTUAL_ENV",
        "LD_LIBRARY_PATH",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
    }
)
KEPT_PREFIXES = ("LC_", "CONDA_", "CUDA_", "SLURM", "XDG_")

ExitReason = Literal["finished", "failed", "timeout", "interrupted", "rate_limited"]


class AgentUnavailable(Exception):
    """The agent cannot be called; the text says why and what to do."""


class AgentRequest(BaseModel):
    """One call.

    `record` is a folder unique to the call: a second call with it adopts the process that the
    first one started, or reads its finished reply, and starts none.
    """

    prompt: str
    workdir: Path
    env: dict[str, str] = Field(default_factory=dict)
    timeout_seconds: float = Field(gt=0)
    record: Path


class AgentReply(BaseModel):
    """What came of a call."""

    text: str
    exit_reason: ExitReason
    exit_code: int | None = None
    usage: dict[str, int] = Field(default_factory=dict)
    cost_usd: float | None = None
    transcript_path: Path | None = None
    error: str | None = None
    duration_seconds: float = 0.0


class Agent(Block, ABC):
    """Base of all agents.

    `run` never raises for what the agent does: a failure, a time-out or a loss is its reply's
    `exit_reason`. Cancelling `run` ends the agent's whole process group.
    """

    @abstractmethod
    async def check(self, workdir: Path) -> str:
        """One line on what will be run.

        Raises:
            AgentUnavailable: it cannot be run, with the mend.
        """

    @abstractmethod
    async def run(self, request: AgentRequest) -> AgentReply:
        """Call the agent once."""


def agent_environment(
    base: Mapping[str, str], extra: Mapping[str, str], keep: Iterable[str] = ()
) -> dict[str, str]:
    """The environment of an agent's process: what a tool needs, none of the server's secrets.

    Args:
        base: the environment to take from.
        extra: variables added on top.
        keep: further names taken from `base`.
    """
    names = KEPT_NAMES | set(keep)
    kept = {
        name: value
        for name, value in base.items()
        if name in names or name.startswith(KEPT_PREFIXES)
    }
    return kept | dict(extra)
