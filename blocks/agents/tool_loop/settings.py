"""What the loop is told: settings as one variable, each secret as a variable of its own."""

import json
import os
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

PREFIX = "WILDLOOP_TOOL_LOOP_"
SETTINGS = f"{PREFIX}SETTINGS"
SECONDS = f"{PREFIX}SECONDS"
STARTED = f"{PREFIX}STARTED"
API_KEY = f"{PREFIX}API_KEY"
HEADER = f"{PREFIX}HEADER_SECRET_"
FOREVER_SECONDS = 1e9
# An output takes an eighth of the context at most, at four characters a token.
OUTPUT_SHARE = 0.5
LEAST_OUTPUT_CHARACTERS = 2_000
MOST_OUTPUT_CHARACTERS = 20_000
ANSWER_SHARE = 0.25
MOST_ANSWER_TOKENS = 8_192
RESERVE_SECONDS = 60.0
RESERVE_SHARE = 0.2


class LoopSettings(BaseModel):
    """Settings of a call, without its secrets; the block's fields of the same names explain."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str
    model: str
    temperature: float | None = None
    max_steps: int = Field(default=100, ge=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    context_tokens: int = Field(default=32_768, ge=1)
    request_timeout_seconds: float = Field(default=600.0, gt=0)
    command_timeout_seconds: float = Field(default=900.0, gt=0)
    retries: int = Field(default=8, ge=0)
    backoff_seconds: float = Field(default=2.0, gt=0)
    longest_pause_seconds: float = Field(default=600.0, ge=0)
    files_outside_workdir: bool = False
    header_names: list[str] = Field(default_factory=list)
    api_key_variable: str = "OPENAI_API_KEY"
    hidden_variables: list[str] = Field(default_factory=list)

    @property
    def output_characters(self) -> int:
        """How much of a tool's output the model gets."""
        share = int(self.context_tokens * OUTPUT_SHARE)
        return max(LEAST_OUTPUT_CHARACTERS, min(MOST_OUTPUT_CHARACTERS, share))

    @property
    def answer_tokens(self) -> int:
        """Room of the context that is kept for an answer."""
        share = int(self.context_tokens * ANSWER_SHARE)
        return min(self.max_output_tokens or MOST_ANSWER_TOKENS, share)


@dataclass(frozen=True)
class Secrets:
    """The API key and the values of the extra headers."""

    api_key: str | None
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Clock:
    """The time that a call has; its last part, `reserve_seconds`, is for the last answer alone."""

    deadline: float
    reserve_seconds: float

    @classmethod
    def start(cls, seconds: float) -> "Clock":
        """A clock that runs from now."""
        return cls(time.monotonic() + seconds, min(RESERVE_SECONDS, RESERVE_SHARE * seconds))

    def left(self) -> float:
        """Seconds until the call's time is up, below zero after that."""
        return self.deadline - time.monotonic()

    def left_for_work(self) -> float:
        """Seconds until only the reserve is left, below zero after that."""
        return self.left() - self.reserve_seconds


def to_environment(settings: LoopSettings, secrets: Secrets) -> dict[str, str]:
    """The variables that carry settings and secrets to the loop's process."""
    named = settings.model_copy(update={"header_names": list(secrets.headers)})
    found = {SETTINGS: named.model_dump_json()}
    if secrets.api_key:
        found[API_KEY] = secrets.api_key
    for number, value in enumerate(secrets.headers.values()):
        found[f"{HEADER}{number}"] = value
    return found


def take_environment(
    environ: MutableMapping[str, str] | None = None,
) -> tuple[LoopSettings, Secrets, Clock]:
    """Read settings and secrets, and take them out of the environment.

    What the loop starts afterwards does not get them.

    Raises:
        KeyError: the settings are not there.
        ValueError: they are none.
    """
    environ = os.environ if environ is None else environ
    if SETTINGS not in environ:
        raise KeyError(f"{SETTINGS} is not set: the loop is started by the block OpenAICompatible")
    settings = LoopSettings.model_validate(json.loads(environ.pop(SETTINGS)))
    given, around = environ.pop(API_KEY, None), environ.pop(settings.api_key_variable, None)
    headers = {
        name: environ.pop(f"{HEADER}{number}") for number, name in enumerate(settings.header_names)
    }
    # The caller counts from the start of the process. Bash before 5.0 does not tell the time, and
    # some locales write a comma.
    started = float(environ.pop(STARTED, "").replace(",", ".") or time.time())
    gone = max(0.0, time.time() - started)
    seconds = float(environ.pop(SECONDS, FOREVER_SECONDS)) - gone
    return settings, Secrets(given or around, headers), Clock.start(max(0.0, seconds))
