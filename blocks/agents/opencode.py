"""OpenCode as an agent: `opencode run --format json`."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, Field, HttpUrl

from wildloop.blocks.agents.jsonl import Event
from wildloop.blocks.agents.live import EventShortener, shorten
from wildloop.blocks.agents.mcp import opencode_configuration
from wildloop.blocks.agents.prices import Usage
from wildloop.blocks.agents.process import ERRORS, read_reply
from wildloop.blocks.agents.stream_agent import EVENTS, StreamAgent
from wildloop.blocks.agents.streams import Reading, lenient, tool_line

# OpenCode takes an answer that was cut off for an empty one and asks again at once, for ever.
RUNAWAY_STEPS = 10
_LOGGED = re.compile(r'message="stream error".* small=false .*error\.error="([^"]*)"')
PROVIDER_KEYS = (
    "ANTHROPIC_API_KEY",
    "AZURE_API_KEY",
    "AZURE_RESOURCE_NAME",
    "CEREBRAS_API_KEY",
    "COHERE_API_KEY",
    "DEEPINFRA_API_KEY",
    "DEEPSEEK_API_KEY",
    "FIREWORKS_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GOOGLE_GENERATIVE_AI_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "MOONSHOT_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "PERPLEXITY_API_KEY",
    "TOGETHER_API_KEY",
    "XAI_API_KEY",
    "ZHIPU_API_KEY",
)


class OpenCode(StreamAgent):
    """The open-source coding agent for any provider, headless: a fresh session for every call."""

    _block_type_name = "Wildloop OpenCode Agent"
    _block_type_slug = "wildloop-opencode-agent"
    _documentation_url = HttpUrl("https://opencode.ai/docs/")
    _description = (
        "OpenCode as the agent of Wildloop's research loop, with a model of any provider. It must "
        "be installed on the worker's host; it uses the provider's API key from the environment "
        "or the login of `opencode auth`. Its own database is left alone: a call is kept in the "
        "session's folder alone (OPENCODE_DB=opencode.db in Environment changes that)."
    )
    install_hint: ClassVar[str] = "npm install -g opencode-ai"

    executable: str = Field(
        default="opencode",
        min_length=1,
        title="Executable",
        description="The command, on the worker's PATH or with its full path.",
    )
    model: str | None = Field(
        default=None,
        pattern=r"^[^/\s]+/\S+$",
        title="Model",
        description="provider/model, as `opencode models` lists them; empty: OpenCode's default.",
        examples=["anthropic/claude-sonnet-4-5", "openrouter/qwen/qwen3-coder"],
    )
    agent: str | None = Field(
        default=None,
        min_length=1,
        title="OpenCode agent",
        description="Which of OpenCode's own agents to use; empty: build.",
        examples=["build"],
    )
    permissions: dict[str, Any] = Field(
        default_factory=lambda: {"*": "allow"},
        title="Permissions",
        description="OpenCode's permission settings. The default allows everything, for a worker "
        "in a container or on a machine of its own. Nobody is there to ask: `ask` means no.",
        examples=[{"*": "allow", "webfetch": "deny"}],
    )
    configuration: dict[str, Any] = Field(
        default_factory=dict,
        title="Configuration",
        description="More of OpenCode's configuration, as in opencode.json, such as a provider of "
        "your own. Write a key as {env:NAME} and set NAME in Environment.",
        examples=[
            {
                "provider": {
                    "mine": {
                        "npm": "@ai-sdk/openai-compatible",
                        "options": {"baseURL": "https://llm.example.org/v1", "apiKey": "{env:KEY}"},
                        "models": {"my-model": {}},
                    }
                }
            }
        ],
    )

    def arguments(self) -> list[str]:
        """See `StreamAgent.arguments`."""
        found = ["run", "--format", "json"]
        if self.model is not None:
            found += ["--model", self.model]
        if self.agent is not None:
            found += ["--agent", self.agent]
        return found

    def settings(self) -> dict[str, str]:
        """See `StreamAgent.settings`."""
        ours = {"autoupdate": False, "share": "disabled", "permission": self.permissions}
        servers = {**opencode_configuration(), **self.configuration.get("mcp", {})}
        whole = {**ours, **self.configuration, "mcp": servers}
        return {
            "OPENCODE_CONFIG_CONTENT": json.dumps(whole),
            # What commands print is kept there in the clear, secrets included.
            "OPENCODE_DB": ":memory:",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_SHARE": "1",
            # Its tries to reach the model again, maybe an hour later, stand in its log alone.
            "OPENCODE_PRINT_LOGS": "1",
            "OPENCODE_LOG_LEVEL": "ERROR",
        }

    def kept_variables(self) -> Sequence[str]:
        """See `StreamAgent.kept_variables`."""
        return [*super().kept_variables(), *PROVIDER_KEYS]

    def kept_families(self) -> Sequence[str]:
        """See `StreamAgent.kept_families`."""
        return ("OPENCODE_",)

    def trouble(self, record: Path) -> str | None:
        """See `StreamAgent.trouble`: the last fault that it logged, if no event came after it."""
        log, events = record / ERRORS, record / EVENTS
        if not log.exists() or log.stat().st_mtime_ns < events.stat().st_mtime_ns:
            return None
        lines = read_reply(log).splitlines()
        told = next((found for line in reversed(lines) if (found := _LOGGED.search(line))), None)
        return told[1] if told else None

    def reading(self) -> "OpenCodeReading":
        """See `StreamAgent.reading`."""
        return OpenCodeReading()

    def shortener(self) -> "OpenCodeShortener":
        """See `StreamAgent.shortener`."""
        return OpenCodeShortener()


class _Cache(BaseModel):
    read: int = 0
    write: int = 0


class _Tokens(BaseModel):
    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache: _Cache = Field(default_factory=_Cache)

    def usage(self) -> Usage:
        return Usage(
            input=self.input,
            output=self.output + self.reasoning,
            cache_read=self.cache.read,
            cache_write=self.cache.write,
        )


class _ToolState(BaseModel):
    status: str = ""
    input: Any = None
    error: str | None = None


class _Part(BaseModel):
    messageID: str = ""
    text: str = ""
    tool: str = ""
    state: _ToolState | None = None
    reason: str | None = None
    tokens: _Tokens | None = None
    cost: float | None = None


class _FaultData(BaseModel):
    message: str = ""
    statusCode: int | None = None
    responseHeaders: dict[str, str] = Field(default_factory=dict)

    def retry_after(self) -> float | None:
        try:
            return float(self.responseHeaders["retry-after"])
        except (KeyError, ValueError):
            return None


class _Fault(BaseModel):
    name: str = ""
    data: _FaultData = Field(default_factory=_FaultData)


class _Event(BaseModel):
    type: str
    part: _Part | None = None
    error: _Fault | None = None


class OpenCodeReading(Reading):
    """See `Reading`. OpenCode says 0 for what it knows no price of: that counts as not told."""

    def __init__(self) -> None:
        super().__init__()
        self._message = ""
        self._empty_steps = 0

    @property
    def is_runaway(self) -> bool:
        """See `Reading.is_runaway`."""
        return self._empty_steps >= RUNAWAY_STEPS

    def feed(self, event: Event) -> None:
        """See `Reading.feed`."""
        found = lenient(_Event, event)
        if found is None:
            return
        match found.type:
            case "text" if found.part is not None:
                same = found.part.messageID == self._message and self._message
                self.text = f"{self.text}\n{found.part.text}" if same else found.part.text
                self._message = found.part.messageID
            case "step_finish" if found.part is not None:
                self._step(found.part)
            case "error" if found.error is not None:
                fault = found.error
                self.error = fault.data.message or fault.name or "OpenCode ended with an error"
                self.status, self.retry_after = fault.data.statusCode, fault.data.retry_after()
                self.complete = False

    def _step(self, part: _Part) -> None:
        self.turns += 1
        usage = part.tokens.usage() if part.tokens is not None else Usage()
        self.usage = self.usage + usage
        if part.cost:
            self.cost_usd = (self.cost_usd or 0.0) + part.cost
        self._empty_steps = self._empty_steps + 1 if usage == Usage() else 0
        self.complete = part.reason in ("stop", "length")


class OpenCodeShortener(EventShortener):
    """Short lines of OpenCode's events."""

    def short_line(self, event: Event) -> str | None:
        """See `EventShortener.short_line`."""
        found = lenient(_Event, event)
        if found is None:
            return None
        match found.type:
            case "text" if found.part is not None:
                return shorten(found.part.text) or None
            case "tool_use" if found.part is not None:
                state = found.part.state or _ToolState()
                line = tool_line(found.part.tool, state.input)
                return f"{line} (failed: {shorten(state.error)})" if state.error else line
            case "error" if found.error is not None:
                return f"error: {shorten(found.error.data.message or found.error.name)}"
        return None
