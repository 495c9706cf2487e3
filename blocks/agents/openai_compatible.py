"""Any server that speaks OpenAI's chat completions as an agent, with no tool installed."""

import os
import shlex
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar

import httpx
from pydantic import BaseModel, Field, HttpUrl, SecretStr, ValidationError, field_validator

from wildloop.blocks.agents.base import AgentReply, AgentRequest, AgentUnavailable
from wildloop.blocks.agents.jsonl import Event
from wildloop.blocks.agents.live import EventShortener, shorten
from wildloop.blocks.agents.masking import is_secret
from wildloop.blocks.agents.prices import Usage
from wildloop.blocks.agents.stream_agent import StreamAgent
from wildloop.blocks.agents.streams import Reading, lenient
from wildloop.blocks.agents.tool_loop.client import request_headers
from wildloop.blocks.agents.tool_loop.settings import (
    SECONDS,
    STARTED,
    LoopSettings,
    Secrets,
    to_environment,
)
from wildloop.blocks.agents.tool_loop.wire import error_of
from wildloop.blocks.interpreter import own_command
from wildloop.blocks.proxies import async_transport_to

OPENAI_URL = "https://api.openai.com/v1"
CHECK_SECONDS = 15.0
MODELS_SHOWN = 8
TOKEN_VARIABLE = "WILDLOOP_AUTH_TOKEN"


class OpenAICompatible(StreamAgent):
    """A model behind an API of OpenAI's form, and Wildloop's own small tool loop."""

    _block_type_name = "Wildloop OpenAI-Compatible Agent"
    _block_type_slug = "wildloop-openai-agent"
    _documentation_url = HttpUrl("https://platform.openai.com/docs/api-reference/chat")
    _description = (
        "Any server that speaks OpenAI's chat completions (vLLM, Ollama, llama.cpp, OpenAI, a "
        "gateway) as the agent of Wildloop's research loop. Nothing else need be installed: the "
        "model gets a shell and file tools on the worker's host."
    )
    install_hint: ClassVar[str] = "make install"

    executable: str = Field(
        default="",
        title="Python",
        description="The Python that runs the tool loop; empty: the worker's own.",
    )
    base_url: str = Field(
        default=OPENAI_URL,
        pattern=r"^https?://[^/\s]+",
        title="API URL",
        description="Where the server's API begins, with /v1 where it has that.",
        examples=["http://127.0.0.1:8000/v1", "http://127.0.0.1:11434/v1"],
    )
    model: str = Field(
        min_length=1,
        pattern=r"\S",
        title="Model",
        description="The model's name, as the server lists it.",
        examples=["qwen3-coder:30b"],
    )
    api_key: SecretStr | None = Field(
        default=None,
        title="API key",
        description="Stored as a secret and never shown. Empty: the variable named below, if it "
        "is set; local servers want none.",
    )
    api_key_variable: str = Field(
        default="OPENAI_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        title="Variable of the API key",
        description="Name of the worker's variable that holds the key, where the field above is "
        "empty.",
    )
    extra_headers: dict[str, SecretStr] = Field(
        default_factory=dict,
        title="Extra headers",
        description="Sent with every request, as some gateways want. The values are stored as "
        "secrets and never shown.",
        examples=[{"X-Gateway-Key": "..."}],
    )
    temperature: float | None = Field(
        default=None,
        ge=0,
        le=2,
        title="Temperature",
        description="Empty: the server's default.",
    )
    max_steps: int = Field(
        default=100,
        ge=1,
        title="Steps",
        description="Answers of the model in one call. With the last it must come to its end.",
    )
    max_output_tokens: int | None = Field(
        default=None,
        ge=16,
        title="Tokens of an answer",
        description="The longest a single answer may be; empty: the server's default.",
    )
    context_tokens: int = Field(
        default=32_768,
        ge=2_048,
        title="Tokens of the context",
        description="How much the model takes in at once, as the server is set up (Ollama: "
        "num_ctx; vLLM: max-model-len; llama.cpp: ctx-size). Old outputs of tools are shortened "
        "to stay below.",
    )
    request_timeout_seconds: float = Field(
        default=600.0,
        gt=0,
        title="Request time-out (seconds)",
        description="A request for which the server has sent nothing for so long is sent again.",
    )
    command_timeout_seconds: float = Field(
        default=900.0,
        gt=0,
        title="Command time-out (seconds)",
        description="The longest that a command of the model may run; it asks for its own limit, "
        "120 s by default, up to this. Keep it below Silence.",
    )
    files_outside_workdir: bool = Field(
        default=False,
        title="Files outside the project",
        description="Let the file tools read and write everywhere. The shell can in any case do "
        "what the worker's user may do.",
    )
    extra_arguments: list[str] = Field(
        default_factory=list,
        max_length=0,
        title="Extra arguments",
        description="None: the tool loop takes no arguments. Leave it empty.",
    )
    retries: int = Field(
        default=8,
        ge=0,
        le=50,
        title="Retries",
        description="How often a request that a rate limit, the server or the network has failed "
        "is sent again. The call goes on where it was.",
    )
    backoff_seconds: float = Field(
        default=2.0,
        gt=0,
        title="Back-off (seconds)",
        description="Pause before the first retry, doubled with each up to two minutes, where "
        "the server does not say how long to wait.",
    )

    longest_pause_seconds: float = Field(
        default=600.0,
        ge=0,
        title="Longest pause (seconds)",
        description="A rate limit that asks for a longer pause ends the call, and the session "
        "waits. Up to that the call waits by itself, which keeps the conversation.",
    )

    @field_validator("base_url")
    @classmethod
    def _without_password(cls, url: str) -> str:
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ValueError(f"'{url}' is no URL: {error}") from error
        if parsed.userinfo or parsed.query:
            raise ValueError("give a URL without user, password and query: secrets go into api_key")
        return url.rstrip("/")

    @field_validator("extra_headers")
    @classmethod
    def _sendable(cls, headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, value in headers.items():
            if not name or not name.isascii() or any(c in name for c in " :\r\n\t"):
                raise ValueError(f"'{name}' is no name of a header: letters, digits and '-' are")
            if not value.get_secret_value().isascii() or not value.get_secret_value().isprintable():
                raise ValueError(f"the value of '{name}' must be printable ASCII")
        return headers

    def arguments(self) -> list[str]:
        """See `StreamAgent.arguments`; the project shadows no module."""
        return own_command("wildloop.blocks.agents.tool_loop")[1:]

    def command_line(self) -> str:
        """The tool loop in place of the shell that starts it."""
        program = shlex.join([self.executable or sys.executable, *self.arguments()])
        return f"{STARTED}=$EPOCHREALTIME exec {program}"

    def settings(self) -> dict[str, str]:
        """See `StreamAgent.settings`: here the loop's settings and secrets."""
        return to_environment(self._loop_settings(), self._secrets())

    def kept_variables(self) -> Sequence[str]:
        """See `StreamAgent.kept_variables`; the key is the loop's own, which hides it."""
        return [*super().kept_variables(), self.api_key_variable]

    def reading(self) -> "OpenAIReading":
        """See `StreamAgent.reading`."""
        return OpenAIReading()

    def shortener(self) -> "OpenAIShortener":
        """See `StreamAgent.shortener`."""
        return OpenAIShortener()

    async def run(self, request: AgentRequest) -> AgentReply:
        """See `Agent.run`. The loop is told its time, so that it ends by itself before that."""
        seconds = min(request.timeout_seconds, self.timeout_seconds or request.timeout_seconds)
        env = {**request.env, SECONDS: f"{seconds:g}"}
        return await super().run(request.model_copy(update={"env": env}))

    async def check(self, workdir: Path) -> str:
        """See `Agent.check`: the server answers and takes the key."""
        url = f"{self.base_url}/models"
        around = {**os.environ, **self.variables()}.get(self.api_key_variable)
        headers = request_headers(self._secrets(around))
        transport = async_transport_to(self.base_url)
        try:
            async with httpx.AsyncClient(timeout=CHECK_SECONDS, transport=transport) as client:
                response = await client.get(url, headers=headers)
        except httpx.HTTPError as error:
            raise AgentUnavailable(
                f"no server answers at '{self.base_url}' ({type(error).__name__}: {error}): start "
                "it, or correct base_url"
            ) from error
        if response.status_code in (401, 403):
            raise AgentUnavailable(
                f"'{self.base_url}' refuses the API key ({error_of(response.content)[0]}): set "
                f"api_key in the agent's block, or {self.api_key_variable} for the worker"
            )
        return f"model {self.model} at {self.base_url}{self._listed(response)}"

    def _listed(self, response: httpx.Response) -> str:
        """A remark where the server's list of models lacks this one. Aliases are not listed."""
        try:
            found = _ModelList.model_validate_json(response.content)
        except ValidationError:
            return ""
        names = [model.id for model in found.data]
        if not names or {self.model, f"{self.model}:latest"} & set(names):
            return ""
        more = ", ..." if len(names) > MODELS_SHOWN else ""
        return f" (which it does not list: {', '.join(islice(names, MODELS_SHOWN))}{more})"

    def _loop_settings(self) -> LoopSettings:
        shared = LoopSettings.model_fields.keys() & type(self).model_fields.keys()
        hidden = [TOKEN_VARIABLE, *filter(is_secret, self.environment)]
        values = {name: getattr(self, name) for name in shared}
        return LoopSettings.model_validate(values | {"hidden_variables": hidden})

    def _secrets(self, around: str | None = None) -> Secrets:
        key = self.api_key.get_secret_value() if self.api_key is not None else None
        headers = {name: value.get_secret_value() for name, value in self.extra_headers.items()}
        return Secrets(key or around, headers)

    def _pause(self, reply: AgentReply, number: int) -> float | None:
        """Never anew: the loop has waited and tried again by itself, in mid-conversation."""
        return None


class _Model(BaseModel):
    id: str


class _ModelList(BaseModel):
    data: list[_Model]


class _Call(BaseModel):
    name: str = ""
    arguments: str = ""


class _Event(BaseModel):
    type: str
    text: str = ""
    error: str = ""
    model: str | None = None
    name: str = ""
    calls: list[_Call] = Field(default_factory=list)
    usage: Usage | None = None
    status: int | None = None
    retry_after: float | None = None
    seconds: float = 0.0
    steps: int = 0
    ended_by: str = ""
    exit_code: int | None = None


class OpenAIReading(Reading):
    """See `Reading`."""

    def feed(self, event: Event) -> None:
        """See `Reading.feed`."""
        found = lenient(_Event, event)
        if found is None:
            return
        match found.type:
            case "answer":
                self.text = found.text.strip() or self.text
                self.usage = self.usage + (found.usage or Usage())
                self.model = found.model or self.model
                self.turns += 1
            case "error":
                self.error, self.status = found.error, found.status
                self.retry_after = found.retry_after
            case "final":
                self.text, self.error, self.complete = found.text, None, True


class OpenAIShortener(EventShortener):
    """Short lines of the loop's events."""

    def short_line(self, event: Event) -> str | None:
        """See `EventShortener.short_line`."""
        found = lenient(_Event, event)
        if found is None:
            return None
        match found.type:
            case "start":
                return f"tool loop started, model {found.model}"
            case "answer":
                said = [found.text] if found.text.strip() else []
                calls = [f"{call.name}: {call.arguments}" for call in found.calls]
                return shorten(" | ".join(shorten(part) for part in [*said, *calls])) or None
            case "output" if found.exit_code:
                return f"exit code {found.exit_code}"
            case "retry":
                return f"again in {found.seconds:.0f} s: {shorten(found.error)}"
            case "note":
                return f"note: {shorten(found.text)}"
            case "error":
                return f"error: {shorten(found.error)}"
            case "final":
                return f"ended by the {found.ended_by} after {found.steps} steps"
        return None
