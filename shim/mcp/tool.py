"""What all tools share: arguments that are checked, and a way to the HTTP API."""

import json
import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from wildloop.shim.client.api import ApiClient

SESSION_VARIABLE = "WILDLOOP_SESSION_ID"
# A grid of thousands takes minutes.
CREATION_S = 900.0


class ToolMisused(Exception):
    """Arguments that do not go together; the text is for the agent."""


@dataclass(frozen=True)
class Desk:
    """Where a tool works: the API, and the session and folder of the agent that calls it.

    `key`: the idempotency key of the call.
    """

    api: ApiClient
    session_id: str | None
    workdir: Path
    key: str | None = None

    @classmethod
    def from_environment(cls) -> "Desk":
        """Server and token as the command line finds them; the session of WILDLOOP_SESSION_ID."""
        session_id = os.environ.get(SESSION_VARIABLE) or None
        return cls(api=ApiClient(), session_id=session_id, workdir=Path.cwd())

    def create(self, path: str, body: dict[str, Any]) -> Any:
        """POST what creates something, under this call's key: sent again, it creates it once."""
        headers = {"Idempotency-Key": self.key} if self.key is not None else {}
        return self.api.request("POST", path, json=body, headers=headers, timeout=CREATION_S)

    def folder(self, given: str | None) -> str | None:
        """A run's folder, absolute: as given, or the session's project; None: the server's own."""
        if given is not None:
            return str(self.workdir / Path(given).expanduser())
        return str(self.workdir) if self.session_id is not None else None


class Tool(BaseModel, ABC):
    """One tool: its fields are the arguments, its docstring is what the agent is told of it."""

    model_config = ConfigDict(extra="forbid")
    reads_only: ClassVar[bool] = True

    @classmethod
    def tool_name(cls) -> str:
        """The class's name in small letters: `CreateRun` is `create_run`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    @abstractmethod
    def call(self, desk: Desk) -> str:
        """The answer, in bounded text.

        Raises:
            ClientError: the API refuses or does not answer.
            ToolMisused: the arguments do not go together.
        """

    def body(self) -> dict[str, Any]:
        """The arguments that were given, as the body of a request."""
        return self.model_dump(mode="json", exclude_none=True)


def _parsed(value: Any) -> Any:
    # Some models write an object as a string with JSON in it.
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _without_dots(value: str) -> str:
    # Such a part would lead to another path of the API.
    if re.search(r"(^|/)\.\.?(/|$)", value):
        raise ValueError("`.` and `..` are no names")
    return value


def quoted(text: str) -> str:
    """An id or path as a piece of a URL."""
    return quote(text, safe="/")


Values = Annotated[dict[str, Any], BeforeValidator(_parsed)]
Strings = Annotated[dict[str, str], BeforeValidator(_parsed)]
Grid = Annotated[dict[str, list[Any]], BeforeValidator(_parsed)]
FilePath = Annotated[
    str, Field(min_length=1, max_length=500, pattern=r"\S"), AfterValidator(_without_dots)
]
Id = Annotated[FilePath, Field(pattern=r"^[^/]*$")]
RunId = Annotated[Id, Field(description="The run's id.")]
