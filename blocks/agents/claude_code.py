"""Claude Code as an agent: `claude -p` with its stream of events."""

import json
import os
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field, HttpUrl

from wildloop.blocks.agents.jsonl import Event
from wildloop.blocks.agents.live import EventShortener, shorten
from wildloop.blocks.agents.mcp import START_SECONDS, TOOL_SECONDS, claude_configuration
from wildloop.blocks.agents.prices import Usage
from wildloop.blocks.agents.stream_agent import StreamAgent
from wildloop.blocks.agents.streams import Reading, lenient, tool_line

# Of a Claude Code session that Wildloop itself was started from: they are not for the agent.
_OUTER = ("CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT", "CLAUDE_CODE_SESSION")
_SYNTHETIC = "<synthetic>"
_MILLISECONDS_FROM = 1e11

PermissionMode = Literal["bypassPermissions", "acceptEdits", "auto", "default", "dontAsk", "plan"]


class ClaudeCode(StreamAgent):
    """Anthropic's coding agent, headless: a fresh session for every call."""

    _block_type_name = "Wildloop Claude Code Agent"
    _block_type_slug = "wildloop-claude-code-agent"
    _documentation_url = HttpUrl("https://code.claude.com/docs/en/overview")
    _description = (
        "Claude Code as the agent of Wildloop's research loop. It must be installed on the "
        "worker's host; it uses ANTHROPIC_API_KEY or the login of `claude`."
    )
    install_hint: ClassVar[str] = "npm install -g @anthropic-ai/claude-code"

    executable: str = Field(
        default="claude",
        min_length=1,
        title="Executable",
        description="The command, on the worker's PATH or with its full path.",
    )
    permission_mode: PermissionMode = Field(
        default="bypassPermissions",
        title="Permissions",
        description="What it may do unasked; nobody is there to ask. bypassPermissions: "
        "everything, for a worker in a container or on a machine of its own. Else what the mode "
        "and the project's .claude/settings.json allow; mcp__wildloop names Wildloop's tools.",
    )
    max_turns: int | None = Field(
        default=None,
        ge=1,
        title="Turns",
        description="The most answers of the model in one call; empty: no limit.",
    )
    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        title="API URL",
        description="A gateway that speaks Anthropic's Messages API; empty: Anthropic's own.",
        examples=["https://llm-gateway.example.org"],
    )

    def arguments(self) -> list[str]:
        """See `StreamAgent.arguments`."""
        found = ["-p", "--output-format", "stream-json", "--verbose", "--no-session-persistence"]
        # It takes any number of values: another option must follow.
        found += ["--mcp-config", json.dumps(claude_configuration())]
        if self.permission_mode == "bypassPermissions":
            found.append("--dangerously-skip-permissions")
        else:
            found += ["--permission-mode", self.permission_mode]
        if self.model is not None:
            found += ["--model", self.model]
        if self.max_turns is not None:
            found += ["--max-turns", str(self.max_turns)]
        return found

    def settings(self) -> dict[str, str]:
        """See `StreamAgent.settings`."""
        start = str(START_SECONDS * 1000)
        found = {
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "MCP_TIMEOUT": start,
            # By itself it begins without the tools after five seconds, told to nobody.
            "MCP_CONNECT_TIMEOUT_MS": start,
            "CLAUDE_CODE_MCP_STARTUP_WAIT_MS": start,
            "MCP_TOOL_TIMEOUT": str(TOOL_SECONDS * 1000),
        }
        if os.geteuid() == 0:
            # Without this it refuses to skip permissions as root.
            found["IS_SANDBOX"] = "1"
        if self.base_url is not None:
            found["ANTHROPIC_BASE_URL"] = self.base_url
        return found

    def kept_variables(self) -> Sequence[str]:
        """See `StreamAgent.kept_variables`."""
        return [name for name in super().kept_variables() if not name.startswith(_OUTER)]

    def kept_families(self) -> Sequence[str]:
        """See `StreamAgent.kept_families`."""
        return ("ANTHROPIC_", "CLAUDE_")

    def reading(self) -> "ClaudeReading":
        """See `StreamAgent.reading`."""
        return ClaudeReading()

    def shortener(self) -> "ClaudeShortener":
        """See `StreamAgent.shortener`."""
        return ClaudeShortener()


class _Tokens(BaseModel):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int | None = 0
    cache_creation_input_tokens: int | None = 0

    def usage(self) -> Usage:
        return Usage(
            input=self.input_tokens,
            output=self.output_tokens,
            cache_read=self.cache_read_input_tokens or 0,
            cache_write=self.cache_creation_input_tokens or 0,
        )


class _Part(BaseModel):
    type: str
    text: str = ""
    name: str = ""
    input: Any = None
    is_error: bool | None = None
    content: Any = None


class _Message(BaseModel):
    id: str = ""
    model: str | None = None
    content: list[_Part] | str = ""
    usage: _Tokens | None = None

    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if part.type == "text")


class _RateLimit(BaseModel):
    status: str = ""
    resetsAt: float | None = None


class _Event(BaseModel):
    type: str
    subtype: str | None = None
    message: _Message | None = None
    parent_tool_use_id: str | None = None
    model: str | None = None
    result: str | None = None
    is_error: bool = False
    errors: list[str] | None = None
    error: str | None = None
    error_status: int | None = None
    api_error_status: int | None = None
    retry_delay_ms: float | None = None
    total_cost_usd: float | None = None
    num_turns: int | None = None
    usage: _Tokens | None = None
    rate_limit_info: _RateLimit | None = None


class ClaudeReading(Reading):
    """See `Reading`. Sub-agents' messages count as tokens, not as text."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, Usage] = {}
        self._message = ""

    def feed(self, event: Event) -> None:
        """See `Reading.feed`."""
        found = lenient(_Event, event)
        if found is None:
            return
        match found.type:
            case "assistant" if found.message is not None:
                self._answer(found.message, found.parent_tool_use_id is not None)
            case "result":
                self._result(found)
            case "rate_limit_event" if found.rate_limit_info is not None:
                self._limit(found.rate_limit_info)
            case "system" if found.subtype == "api_retry":
                self.error = f"API error {found.error_status or ''}: {found.error}"
                self.status = found.error_status
                if found.error_status == 429 and found.retry_delay_ms is not None:
                    self.retry_after = found.retry_delay_ms / 1000

    def _answer(self, message: _Message, by_subagent: bool) -> None:
        if message.model == _SYNTHETIC:
            # Claude Code's own words on an error of the API, not the model's.
            self.error = message.text() or self.error
            return
        self.error = self.status = self.retry_after = None
        self.model = self.model if by_subagent else message.model
        if message.usage is not None:
            # An answer comes in several events, each with the tokens so far.
            self._seen[message.id or str(len(self._seen))] = message.usage.usage()
            self.usage = sum(self._seen.values(), Usage())
        if by_subagent:
            return
        text = message.text()
        if message.id != self._message or not message.id:
            self.turns += 1
            self._message = message.id
            self.text = text or self.text
        elif text:
            self.text = text

    def _result(self, event: _Event) -> None:
        self.cost_usd = event.total_cost_usd
        if event.usage is not None:
            self.usage = event.usage.usage()
        if event.is_error or event.subtype not in (None, "success"):
            told = event.result or "; ".join(event.errors or []) or event.subtype
            self.error = told or "Claude Code ended with an error"
            self.status = event.api_error_status
            return
        self.turns = event.num_turns or self.turns
        self.text = event.result or self.text
        self.error = None
        self.complete = True

    def _limit(self, info: _RateLimit) -> None:
        if info.status != "rejected" or info.resetsAt is None:
            self.resets_at = None
            return
        in_milliseconds = info.resetsAt > _MILLISECONDS_FROM
        self.resets_at = info.resetsAt / 1000 if in_milliseconds else info.resetsAt


class ClaudeShortener(EventShortener):
    """Short lines of Claude Code's events."""

    def short_line(self, event: Event) -> str | None:
        """See `EventShortener.short_line`."""
        found = lenient(_Event, event)
        if found is None:
            return None
        match found.type:
            case "assistant" if found.message is not None:
                return _line(found.message)
            case "system" if found.subtype == "init":
                return f"Claude Code started, model {found.model}"
            case "system" if found.subtype == "api_retry":
                return f"API error {found.error_status or ''}: {found.error}, it tries again"
            case "result" if found.is_error:
                return f"error: {shorten(found.result or found.subtype or '')}"
            case "result":
                return f"ended after {found.num_turns} turns, {found.total_cost_usd or 0:.4f} USD"
        return None


def _line(message: _Message) -> str | None:
    if message.model == _SYNTHETIC:
        return None
    if isinstance(message.content, str):
        return shorten(message.content) or None
    lines = []
    for part in message.content:
        if part.type == "tool_use":
            lines.append(tool_line(part.name, part.input))
        elif part.type == "text" and part.text.strip():
            lines.append(shorten(part.text))
    return " | ".join(lines) or None
