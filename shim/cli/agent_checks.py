"""Which agents are installed here, whether they have keys, and whether they answer."""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wildloop.shim.cli.findings import Finding

if TYPE_CHECKING:
    from wildloop.blocks.agents.base import Agent

PROMPT = "Reply with the one word: ready. Use no tools and change no files.\n"


@dataclass(frozen=True)
class Access:
    """How a tool gets to its model: variables that hold a key, files that a login leaves."""

    variables: tuple[str, ...]
    logins: tuple[str, ...]
    mend: str

    def found(self, environment: Mapping[str, str], home: Path) -> str | None:
        """Where a key or a login is; never the key itself."""
        names = [name for name in self.variables if environment.get(name)]
        if names:
            return f"key in {', '.join(names)} (not shown)"
        files = [name for name in self.logins if (home / name).exists()]
        return f"logged in (~/{files[0]})" if files else None


ACCESS = {
    "claude": Access(
        ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN",
         "CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"),
        (".claude/.credentials.json",),
        "set ANTHROPIC_API_KEY, or log in once with `claude`",
    ),
    "codex": Access(
        ("CODEX_API_KEY", "OPENAI_API_KEY"),
        (".codex/auth.json",),
        "set OPENAI_API_KEY, or log in once with `codex login`",
    ),
    "opencode": Access(
        ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY",
         "GROQ_API_KEY", "DEEPSEEK_API_KEY", "MISTRAL_API_KEY", "XAI_API_KEY"),
        (".local/share/opencode/auth.json",),
        "set the key of your provider, or log in once with `opencode auth login`",
    ),
}  # fmt: skip


def check_tools(
    workdir: Path, ask_seconds: float | None, chosen: str | None = None
) -> list[Finding]:
    """The known tools that are on PATH: version, access, and an answer if one is asked for.

    Args:
        workdir: where they are started.
        ask_seconds: how long a one-word answer may take; None: nothing is asked, nothing spent.
        chosen: the agent that `check_agent` looks at; it need not be asked twice.
    """
    return asyncio.run(_tools(workdir, ask_seconds, (chosen or "").partition(":")[0]))


def check_agent(name: str, workdir: Path, ask_seconds: float | None) -> list[Finding]:
    """The agent that a session is to use: a fault of it prevents work."""
    return asyncio.run(_named(name, workdir, ask_seconds))


async def _tools(workdir: Path, ask_seconds: float | None, chosen: str) -> list[Finding]:
    from wildloop.blocks.agents.registry import TOOLS

    found = []
    for name, kind in TOOLS.items():
        agent = kind.model_validate({})
        if shutil.which(agent.executable) is None:
            if name != chosen:
                hint = f"not installed; to use it: `{kind.install_hint}`"
                found.append(Finding(check=f"agent {name}", ok=True, text=hint))
            continue
        access = ACCESS[name].found(os.environ, Path.home())
        text = access or f"no key and no login found: {ACCESS[name].mend}"
        found.append(Finding(check=f"agent {name} access", ok=access is not None, text=text))
        if name == chosen:
            continue
        version = await _version(name, agent, workdir, fatal=False)
        found.append(version)
        if ask_seconds is not None and version.ok:
            found.append(await _answer(name, agent, ask_seconds, fatal=False))
    return found


async def _named(name: str, workdir: Path, ask_seconds: float | None) -> list[Finding]:
    from wildloop.blocks.agents.base import AgentUnavailable
    from wildloop.blocks.agents.registry import BASELINE
    from wildloop.flows.errors import InvalidRequest
    from wildloop.flows.guards.isolation import session_agent
    from wildloop.flows.project import load_project

    try:
        agent = await session_agent(name, workdir, load_project(workdir))
    except (AgentUnavailable, InvalidRequest) as error:
        return [Finding(check=f"agent {name}", ok=False, fatal=True, text=str(error))]
    found = [await _version(name, agent, workdir, fatal=True)]
    # The built-in agent has no model to ask.
    if ask_seconds is not None and found[0].ok and name != BASELINE:
        found.append(await _answer(name, agent, ask_seconds, fatal=True))
    return found


async def _version(name: str, agent: "Agent", workdir: Path, fatal: bool) -> Finding:
    from wildloop.blocks.agents.base import AgentUnavailable
    from wildloop.blocks.agents.process import ProcessAgent

    try:
        text = await agent.check(workdir)
        if isinstance(agent, ProcessAgent):
            text += f"; {await agent.check_isolation(workdir)}"
    except AgentUnavailable as error:
        return Finding(check=f"agent {name}", ok=False, fatal=fatal, text=str(error))
    return Finding(check=f"agent {name}", ok=True, text=text)


async def _answer(name: str, agent: "Agent", seconds: float, fatal: bool) -> Finding:
    """Ask for one word, in an empty folder."""
    from wildloop.blocks.agents.base import AgentRequest

    check, began = f"agent {name} answer", time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wildloop-doctor-") as folder:
        workdir = Path(folder) / "project"
        workdir.mkdir()
        reply = await agent.run(
            AgentRequest(
                prompt=PROMPT,
                workdir=workdir,
                timeout_seconds=seconds,
                record=Path(folder) / "record",
            )
        )
    took = f"{time.monotonic() - began:.1f} s"
    cost = f", {reply.cost_usd:.4f} USD" if reply.cost_usd is not None else ""
    if reply.exit_reason == "finished" and reply.text.strip():
        said = " ".join(reply.text.split())[:40]
        return Finding(check=check, ok=True, text=f"'{said}' after {took}{cost}")
    fault = reply.error or "it said nothing"
    text = f"none ({reply.exit_reason} after {took}: {fault}): start it by hand to see why"
    return Finding(check=check, ok=False, fatal=fatal, text=text)
