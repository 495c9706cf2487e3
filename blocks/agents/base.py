"""The agent interface: a coding agent is called with a prompt and answers with text."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Literal

from prefect.blocks.core import Block
from pydantic import BaseModel, Field

from wildloop.blocks.agents.masking import SHORTEST, is_secret

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
        "PYTHONPATH",
        "LD_LIBRARY_PATH",
        "MODULEPATH",
        "MODULESHOME",
        "BASH_ENV",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
    }
)
KEPT_PREFIXES = ("LC_", "CONDA_", "CUDA_", "SLURM", "XDG_", "LMOD_", "BASH_FUNC_")
# Prefect reads its settings in any case.
_NEVER = ("PREFECT_", "WILDLOOP_")

# What an agent answers in: a reply with one of these has an answer in it.
REPLY_TAGS = (
    "summary",
    "plan",
    "promise",
    "experiments",
    "evo_sweep",
    "reflection",
    "continue",
    "memories",
    "change",
    "start_from",
)
ExitReason = Literal["finished", "failed", "timeout", "interrupted", "rate_limited", "unreachable"]


class AgentUnavailable(Exception):
    """The agent cannot be called; the text says why and what to do."""


class AgentRequest(BaseModel):
    """One call.

    `env` comes on top of a scrubbed os.environ (see `agent_environment`). `record` is a folder
    unique to the call, with the process record, prompt.md, reply.txt and stderr.log: a second
    call with it adopts the process that the first one started, or reads its finished reply, and
    starts none.
    """

    prompt: str
    workdir: Path
    env: dict[str, str] = Field(default_factory=dict)
    timeout_seconds: float = Field(gt=0)
    record: Path


class AgentReply(BaseModel):
    """What came of a call.

    `text` is what the agent has said, also when it failed or was ended; `error` says why it did
    not finish. `rate_limited` and `unreachable` (network down, API overloaded) are worth another
    call later: after `retry_after_seconds`, where that was told. `usage` (tokens: input, output,
    cache_read, cache_write) and `cost_usd` are there where the agent tells them; a cost taken from
    a price list is `cost_is_estimate`. `num_turns`: answers of the model.
    """

    text: str
    exit_reason: ExitReason
    exit_code: int | None = None
    usage: dict[str, int] = Field(default_factory=dict)
    cost_usd: float | None = None
    cost_is_estimate: bool = False
    num_turns: int | None = None
    retry_after_seconds: float | None = None
    transcript_path: Path | None = None
    error: str | None = None
    duration_seconds: float = 0.0


class Agent(Block, ABC):
    """Base of all agents.

    `run` never raises for what the agent does: a failure, a time-out or a loss is its reply's
    `exit_reason` (`interrupted`: the agent was ended from outside, or its process is gone).
    Cancelling `run` ends the agent's whole process tree before the cancellation goes on.
    """

    works_alone: ClassVar[bool] = False
    """Whether it takes the tasks of its own plan in their order, so that no other can beside it."""

    def check_number(self, researchers: int) -> None:
        """See that so many can work on one plan.

        Raises:
            AgentUnavailable: this one works alone.
        """
        if researchers > 1 and self.works_alone:
            raise AgentUnavailable(
                f"researchers: {researchers} need an agent that does the task it is given; this "
                "one follows a plan of its own: leave `researchers` out, or name another agent"
            )

    @classmethod
    def get_code_example(cls) -> str:
        """What the Prefect UI shows beside the form."""
        return (
            f"```python\nfrom {cls.__module__} import {cls.__name__}\n\n"
            f'agent = {cls.__name__}.load("BLOCK_NAME")\n```\n\n'
            f"For a session: `--agent {cls.get_block_type_slug()}/BLOCK_NAME`.\n"
        )

    @abstractmethod
    async def check(self, workdir: Path) -> str:
        """One line on what will be run.

        Raises:
            AgentUnavailable: it cannot be run, with the mend.
        """

    @abstractmethod
    async def run(self, request: AgentRequest) -> AgentReply:
        """Call the agent once, or take up the call that `request.record` holds already."""

    @abstractmethod
    async def stop(self, record: Path) -> None:
        """End the process tree of the call in `record`, if it runs."""

    async def follow(self, record: Path) -> AsyncIterator[str]:
        """What the call in `record` does, in short lines as they come, from its beginning.

        Ends with the call. Where nothing has been called yet, it waits. Anybody may watch, from
        any process, any number of times; the base tells nothing.
        """
        nothing: tuple[str, ...] = ()
        for line in nothing:
            yield line


def agent_environment(
    base: Mapping[str, str], extra: Mapping[str, str], keep: Iterable[str] = ()
) -> dict[str, str]:
    """The environment of an agent's process: what a tool needs, none of the server's secrets.

    PREFECT_* and WILDLOOP_* of `base` never pass: an agent talks to the HTTP API alone, with the
    variables that its caller gives. Neither does a variable with a harmless name in whose value
    stands that of a secret one; proxies, which may hold a password of their own, pass.

    Args:
        base: the environment to take from.
        extra: variables added on top, whatever their names.
        keep: further names taken from `base`, such as the API key of the agent's model.
    """
    named = {name for name in keep if not name.upper().startswith(_NEVER)}
    secrets = {
        value
        for name, value in base.items()
        if name not in named
        and is_secret(name)
        and len(value) >= SHORTEST
        # Names such as SSH_AUTH_SOCK tell where something lies.
        and not value.startswith("/")
    }
    kept = {
        name: value
        for name, value in base.items()
        if name in named
        or (
            (name in KEPT_NAMES or (name.startswith(KEPT_PREFIXES) and not is_secret(name)))
            and not any(secret in value for secret in secrets)
        )
    }
    return kept | dict(extra)
