"""Any command as an agent: the prompt on stdin, the reply on stdout."""

import asyncio
import os
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field, HttpUrl, SecretStr, field_validator

from wildloop.blocks.agents.base import (
    AgentReply,
    AgentRequest,
    AgentUnavailable,
    ExitReason,
    agent_environment,
)
from wildloop.blocks.agents.prices import Price, Usage, estimate_cost
from wildloop.blocks.agents.printed_troubles import printed_trouble
from wildloop.blocks.agents.process import ERRORS, ProcessAgent, read_reply
from wildloop.blocks.agents.told import places_of, told_of
from wildloop.blocks.agents.troubles import Trouble
from wildloop.blocks.launchers.base import ProcessStatus

CHECK_SECONDS = 10.0
EXITS: dict[Trouble, ExitReason] = {
    Trouble.RATE_LIMIT: "rate_limited",
    Trouble.NETWORK: "unreachable",
}

# Words that may stand before the command that matters.
_BEFORE = frozenset({"exec", "command", "env", "nohup", "time", "!", "{"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")


class CommandAgent(ProcessAgent):
    """Any command-line agent: it reads the prompt from stdin and prints its reply."""

    _block_type_name = "Wildloop Command Agent"
    _block_type_slug = "wildloop-command-agent"
    _documentation_url = HttpUrl("https://docs.prefect.io/v3/concepts/blocks")
    _description = (
        "Any command-line coding agent for Wildloop's research loop: it gets the prompt on "
        "stdin, works in the project's folder, and prints its reply on stdout."
    )

    needs_network: ClassVar[bool] = False

    command: str = Field(
        min_length=1,
        pattern=r"\S",
        title="Command",
        description="Shell command, run by bash in the project's folder. The prompt comes on "
        "stdin; what it prints on stdout is the reply. It is visible in process lists: put "
        "secrets into Environment.",
        examples=["my-agent --headless", "python agents/mine.py"],
    )
    environment: dict[str, SecretStr] = Field(
        default_factory=dict,
        title="Environment",
        description="Variables for the command, such as the API key of its model. The values "
        "are stored as secrets and never shown.",
        examples=[{"MY_AGENT_API_KEY": "..."}],
    )
    pass_variables: list[str] = Field(
        default_factory=list,
        title="Variables to pass on",
        description="Names of variables of the worker's own environment that the command gets "
        "too. Without this, it gets PATH, HOME, locale, proxies, CUDA, conda and Slurm "
        "variables, and no secrets.",
        examples=[["ANTHROPIC_API_KEY"]],
    )
    usage: str | None = Field(
        default=None,
        title="Usage",
        description="Where the command's JSON output tells its reply, tokens and cost; empty: "
        "what it prints is the reply, and its tokens are not known.",
        examples=["jsonl:text=result,input=usage.input_tokens,output=usage.output_tokens"],
    )
    price: Price | None = Field(
        default=None,
        title="Price",
        description="US dollars per million tokens, for an estimate where only tokens are told.",
    )

    @field_validator("usage")
    @classmethod
    def _usage_can_be_read(cls, value: str | None) -> str | None:
        if value is not None:
            places_of(value)
        return value

    def command_line(self) -> str:
        """The command, as the user gave it."""
        return self.command

    def variables(self) -> dict[str, str]:
        """The block's own variables, in the clear."""
        return {name: value.get_secret_value() for name, value in self.environment.items()}

    def kept_variables(self) -> Sequence[str]:
        """The names that the block lists."""
        return self.pass_variables

    def reply(self, status: ProcessStatus, request: AgentRequest) -> AgentReply:
        """See `ProcessAgent.reply`; limits and an absent network are known by what it printed."""
        plain = self._told(super().reply(status, request))
        if plain.exit_reason not in ("finished", "failed", "timeout"):
            return plain
        found = printed_trouble(
            plain.text,
            read_reply(request.record / ERRORS),
            None if plain.exit_reason == "timeout" else plain.exit_code,
            status.ended_at or time.time(),
        )
        if found is None:
            return plain
        return plain.model_copy(
            update={
                "text": found.said_before,
                "exit_reason": EXITS[found.trouble],
                "error": found.message,
                "retry_after_seconds": found.pause_seconds,
            }
        )

    def _told(self, reply: AgentReply) -> AgentReply:
        """The reply with what its text, which is JSON then, tells of itself."""
        if self.usage is None:
            return reply
        told = told_of(self.usage, reply.text)
        cost, is_estimate = told.cost_usd, False
        if cost is None and told.usage and self.price is not None:
            cost, is_estimate = estimate_cost(Usage(**told.usage), self.price), True
        return reply.model_copy(
            update={
                "text": reply.text if told.text is None else told.text,
                "usage": told.usage,
                "cost_usd": cost,
                "cost_is_estimate": is_estimate,
            }
        )

    async def check(self, workdir: Path) -> str:
        """See `Agent.check`: bash must be able to read the command and to find its first word."""
        env = agent_environment(os.environ, self.variables(), self.pass_variables)
        code, said = await _bash(["-n", "-c", "--", self.command], workdir, env)
        if code != 0:
            raise AgentUnavailable(
                f"agent command '{self.command}' is not valid bash: {said}; mend it"
            )
        word = first_word(self.command)
        if word is not None:
            code, _ = await _bash(["-c", 'type -t -- "$1"', "bash", word], workdir, env)
            if code != 0:
                raise AgentUnavailable(
                    f"agent command '{word}' is neither on PATH nor a program in '{workdir}': "
                    "install it, or give its full path"
                )
        return f"command agent: {self.command}"


def first_word(command: str) -> str | None:
    """The program that a shell command starts; None where only running it would tell."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:
        return None
    for word in words:
        if word in _BEFORE or _ASSIGNMENT.match(word) or not word.strip("();<>|&"):
            continue
        return None if word.startswith("-") or re.search(r"[$`*?~]", word) else word
    return None


async def _bash(arguments: Sequence[str], workdir: Path, env: dict[str, str]) -> tuple[int, str]:
    """Run bash for a check; return its exit code and what it said.

    Raises:
        AgentUnavailable: bash does not start or does not answer.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            "bash",
            *arguments,
            cwd=workdir,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise AgentUnavailable(f"bash does not start in '{workdir}': {error}") from error
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            _, said = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise AgentUnavailable(
            f"bash did not answer within {CHECK_SECONDS:g} s: see BASH_ENV"
        ) from error
    assert process.returncode is not None
    return process.returncode, said.decode("utf-8", "replace").strip()
