"""OpenAI's Codex as an agent: `codex exec --json`."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field, HttpUrl

from wildloop.blocks.agents.jsonl import Event
from wildloop.blocks.agents.live import EventShortener, shorten
from wildloop.blocks.agents.mcp import codex_configuration
from wildloop.blocks.agents.prices import Usage
from wildloop.blocks.agents.stream_agent import StreamAgent
from wildloop.blocks.agents.streams import Reading, lenient

PROVIDER = "wildloop"
Sandbox = Literal["none", "workspace-write", "read-only"]


class Codex(StreamAgent):
    """OpenAI's coding agent, headless: a fresh session for every call."""

    _block_type_name = "Wildloop Codex Agent"
    _block_type_slug = "wildloop-codex-agent"
    _documentation_url = HttpUrl("https://developers.openai.com/codex/cli")
    _description = (
        "OpenAI Codex as the agent of Wildloop's research loop. It must be installed on the "
        "worker's host; it uses the login of `codex`, or else CODEX_API_KEY or OPENAI_API_KEY."
    )
    install_hint: ClassVar[str] = "npm install -g @openai/codex"

    executable: str = Field(
        default="codex",
        min_length=1,
        title="Executable",
        description="The command, on the worker's PATH or with its full path.",
    )
    sandbox: Sandbox = Field(
        default="none",
        title="Sandbox",
        description="none: it may do everything, for a worker in a container or on a machine of "
        "its own. workspace-write: it may write in the project and use the network. read-only: "
        "it may only look, and cannot reach Wildloop's API.",
    )
    reasoning_effort: str | None = Field(
        default=None,
        min_length=1,
        title="Reasoning effort",
        description="How long the model thinks; empty: the model's own default.",
        examples=["low", "medium", "high"],
    )
    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        title="API URL",
        description="A provider that speaks OpenAI's Responses API, with /v1 where it has that; "
        "empty: OpenAI, or what the config.toml of `codex` says.",
        examples=["https://llm-gateway.example.org/v1"],
    )
    api_key_variable: str = Field(
        default="OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        title="Variable of the API key",
        description="Name of the variable that holds the key for the API URL. Set it in "
        "Environment or in the worker's own environment.",
    )

    def arguments(self) -> list[str]:
        """See `StreamAgent.arguments`."""
        found = ["exec", "--json", "--color", "never", "--ephemeral", "--skip-git-repo-check"]
        if self.sandbox == "none":
            found.append("--dangerously-bypass-approvals-and-sandbox")
        else:
            found += ["--sandbox", self.sandbox]
        if self.model is not None:
            found += ["--model", self.model]
        for key, value in self._configuration().items():
            found += ["-c", f"{key}={_toml(value)}"]
        return found

    def command_line(self) -> str:
        """The prompt comes on stdin, which a last `-` says."""
        return f"{super().command_line()} -"

    def settings(self) -> dict[str, str]:
        """See `StreamAgent.settings`. An API key is used only where there is no login."""
        key = os.environ.get("OPENAI_API_KEY")
        home = Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex")
        logged_in = (home / "auth.json").exists() or "CODEX_API_KEY" in os.environ
        own = self.environment.get("OPENAI_API_KEY")
        if own is not None:
            return {"CODEX_API_KEY": own.get_secret_value()}
        return {"CODEX_API_KEY": key} if key and not logged_in else {}

    def kept_variables(self) -> Sequence[str]:
        """See `StreamAgent.kept_variables`."""
        return [*super().kept_variables(), "OPENAI_API_KEY", self.api_key_variable]

    def kept_families(self) -> Sequence[str]:
        """See `StreamAgent.kept_families`."""
        return ("CODEX_",)

    def reading(self) -> "CodexReading":
        """See `StreamAgent.reading`."""
        return CodexReading()

    def shortener(self) -> "CodexShortener":
        """See `StreamAgent.shortener`."""
        return CodexShortener()

    def _configuration(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "check_for_update_on_startup": False,
            "analytics.enabled": False,
            # A file of all variables, secrets included, that stays when the call is ended.
            "features.shell_snapshot": False,
            # The agent's commands need Wildloop's token and the PATH that the worker has.
            "shell_environment_policy.inherit": "all",
            "shell_environment_policy.ignore_default_excludes": True,
            "allow_login_shell": False,
            **codex_configuration(),
        }
        if self.sandbox == "workspace-write":
            found["sandbox_workspace_write.network_access"] = True
        if self.sandbox != "none":
            found["approval_policy"] = "never"
        if self.reasoning_effort is not None:
            found["model_reasoning_effort"] = self.reasoning_effort
        if self.base_url is not None:
            provider = f"model_providers.{PROVIDER}"
            found["model_provider"] = PROVIDER
            found[f"{provider}.name"] = "Wildloop"
            found[f"{provider}.base_url"] = self.base_url
            found[f"{provider}.wire_api"] = "responses"
            found[f"{provider}.env_key"] = self.api_key_variable
        return found


def _toml(value: Any) -> str:
    # Strings, numbers, booleans and lists of these are written alike in TOML and in JSON.
    return json.dumps(value, ensure_ascii=False)


class _Tokens(BaseModel):
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_input_tokens: int = 0
    output_tokens: int = 0

    def usage(self) -> Usage:
        cached = self.cached_input_tokens + self.cache_write_input_tokens
        return Usage(
            input=max(0, self.input_tokens - cached),
            output=self.output_tokens,
            cache_read=self.cached_input_tokens,
            cache_write=self.cache_write_input_tokens,
        )


class _Change(BaseModel):
    path: str = ""
    kind: str = ""


class _Item(BaseModel):
    type: str = ""
    text: str = ""
    message: str = ""
    command: str = ""
    exit_code: int | None = None
    changes: list[_Change] = Field(default_factory=list)
    server: str = ""
    tool: str = ""
    query: str = ""


class _Fault(BaseModel):
    message: str = ""


class _Event(BaseModel):
    type: str
    item: _Item | None = None
    usage: _Tokens | None = None
    message: str | None = None
    error: _Fault | None = None


class CodexReading(Reading):
    """See `Reading`. Codex tells no cost, and its tokens only when a turn is complete."""

    def feed(self, event: Event) -> None:
        """See `Reading.feed`."""
        found = lenient(_Event, event)
        if found is None:
            return
        match found.type:
            case "item.started":
                # A fault before it was mended by another try.
                self.error = None
            case "item.completed" if found.item is not None:
                if found.item.type != "error":
                    self.error = None
                if found.item.type == "agent_message":
                    self.text = found.item.text
                    self.turns += 1
                elif found.item.type == "command_execution":
                    self.turns += 1
            case "turn.completed":
                self.usage = self.usage + (found.usage or _Tokens()).usage()
                self.error, self.complete = None, True
            case "turn.failed" if found.error is not None:
                self.error = found.error.message or self.error
            case "error":
                self.error = found.message or self.error


class CodexShortener(EventShortener):
    """Short lines of Codex's events."""

    def short_line(self, event: Event) -> str | None:
        """See `EventShortener.short_line`."""
        found = lenient(_Event, event)
        if found is None:
            return None
        match found.type:
            case "item.started" if found.item is not None:
                return _started(found.item)
            case "item.completed" if found.item is not None:
                return _completed(found.item)
            case "turn.failed" if found.error is not None:
                return f"error: {shorten(found.error.message)}"
            case "error" if found.message:
                return f"error: {shorten(found.message)}"
            case "turn.completed" if found.usage is not None:
                usage = found.usage
                return f"ended, {usage.input_tokens} tokens in, {usage.output_tokens} out"
        return None


def _started(item: _Item) -> str | None:
    match item.type:
        case "command_execution":
            return f"$ {shorten(item.command)}"
        case "mcp_tool_call":
            return f"{item.server}.{item.tool}"
        case "web_search":
            return f"web search: {shorten(item.query)}"
    return None


def _completed(item: _Item) -> str | None:
    match item.type:
        case "agent_message":
            return shorten(item.text) or None
        case "file_change":
            paths = ", ".join(f"{change.kind} {change.path}" for change in item.changes)
            return f"edit: {shorten(paths)}"
        case "command_execution" if item.exit_code:
            return f"exit code {item.exit_code}: {shorten(item.command)}"
        case "error":
            return f"note: {shorten(item.message)}"
    return None
