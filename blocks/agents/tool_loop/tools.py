"""The tools that the model is offered, and their calls."""

import json
from collections import deque
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wildloop.blocks.agents.tool_loop.files import READ_LINES, Files, ToolFault
from wildloop.blocks.agents.tool_loop.messages import Call
from wildloop.blocks.agents.tool_loop.output import cut_middle
from wildloop.blocks.agents.tool_loop.shell import DEFAULT_SECONDS, Shell


class _Arguments(BaseModel):
    # What a model adds of its own accord, such as a description, does no harm.
    model_config = ConfigDict(extra="ignore")


class Bash(_Arguments):
    """Run a command with bash and get its output (stdout and stderr together) and exit code.

    The folder is kept between commands, variables are not. There is no input and no terminal.
    A long output comes without its middle.
    """

    command: str = Field(min_length=1, description="The command.")
    timeout_seconds: float = Field(
        default=DEFAULT_SECONDS, gt=0, description="The command is ended after so many seconds."
    )


class ReadFile(_Arguments):
    """Read a text file; its lines come numbered."""

    path: str = Field(description="The file; a relative path starts at the current folder.")
    offset: int = Field(default=1, description="The first line to read, from 1 on.")
    limit: int = Field(default=READ_LINES, description="How many lines to read.")


class WriteFile(_Arguments):
    """Make a file with this content, or replace all that stands in it."""

    path: str = Field(description="The file; folders on the way are made.")
    content: str = Field(description="The whole content.")


class EditFile(_Arguments):
    """Replace a piece of text in a file."""

    path: str = Field(description="The file.")
    old_text: str = Field(description="The text to replace, exactly as it stands in the file.")
    new_text: str = Field(description="The text to put there.")
    replace_all: bool = Field(default=False, description="Replace every occurrence.")


ToolArguments = Bash | ReadFile | WriteFile | EditFile
BASH = "bash"
KINDS: tuple[tuple[str, type[ToolArguments]], ...] = (
    (BASH, Bash),
    ("read_file", ReadFile),
    ("write_file", WriteFile),
    ("edit_file", EditFile),
)


@dataclass(frozen=True)
class ToolResult:
    """What a call gives: text for the model, and the exit code of a command that ended."""

    text: str
    exit_code: int | None = None


@dataclass(frozen=True)
class Tools:
    """Runs the model's calls."""

    shell: Shell
    files: Files
    longest_command_seconds: float

    def run(self, call: Call) -> ToolResult:
        """Run one call. Whatever is wrong with it is told to the model, in the result."""
        try:
            return self._run(parse(call))
        except ToolFault as fault:
            return ToolResult(f"error: {fault}")
        except OSError as error:
            return ToolResult(
                f"error: {error.strerror or error}: {error.filename or ''}".rstrip(": ")
            )
        except UnicodeEncodeError:
            return ToolResult("error: the text holds characters that the system does not take")

    def _run(self, arguments: ToolArguments) -> ToolResult:
        cwd = self.shell.cwd
        match arguments:
            case Bash():
                return self._bash(arguments)
            case ReadFile():
                at, count = arguments.offset, arguments.limit
                return ToolResult(self.files.read(arguments.path, cwd, at, count))
            case WriteFile():
                return ToolResult(self.files.write(arguments.path, arguments.content, cwd))
            case EditFile():
                old, new, every = arguments.old_text, arguments.new_text, arguments.replace_all
                return ToolResult(self.files.edit(arguments.path, old, new, cwd, every))

    def _bash(self, arguments: Bash) -> ToolResult:
        if "\0" in arguments.command:
            raise ToolFault("the command holds a NUL: leave it out")
        before = self.shell.cwd
        limit = min(arguments.timeout_seconds, self.longest_command_seconds)
        result = self.shell.run(arguments.command, limit)
        lines = [result.text or "[no output]"]
        if result.exit_code != 0 and result.exit_code is not None:
            lines.append(f"[exit code {result.exit_code}]")
        if result.cwd != before:
            lines.append(f"[now in {result.cwd}]")
        return ToolResult("\n".join(lines), result.exit_code)


def parse(call: Call) -> ToolArguments:
    """The arguments of a call.

    Raises:
        ToolFault: there is no such tool, or the arguments do not fit it.
    """
    kind = dict(KINDS).get(call.name)
    if kind is None:
        names = ", ".join(name for name, _ in KINDS)
        raise ToolFault(f"there is no tool '{call.name}': use one of {names}")
    try:
        # Models put line feeds into strings as they are.
        found = json.loads(call.arguments, strict=False)
    except (ValueError, RecursionError) as error:
        raise ToolFault(
            f"the arguments of {call.name} are no valid JSON ({error}): send them anew, in a "
            "shorter call if they were cut off"
        ) from error
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise ToolFault(f"the arguments of {call.name} do not fit: {faults}") from error


def offered() -> list[dict[str, Any]]:
    """The tools in the API's form."""
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": " ".join((kind.__doc__ or "").split()),
                "parameters": _schema(kind),
            },
        }
        for name, kind in KINDS
    ]


def _schema(kind: type[ToolArguments]) -> dict[str, Any]:
    """The JSON schema, bare: titles and the like only cost tokens."""
    schema = kind.model_json_schema()
    properties = {
        name: {key: value for key, value in field.items() if key in ("type", "description")}
        for name, field in schema["properties"].items()
    }
    return {"type": "object", "properties": properties, "required": schema["required"]}


class Repeats:
    """Notices a model that makes the same calls again and again with the same results."""

    NOTICE = 3
    LIMIT = 8
    # Wide enough for a round of three calls that goes on for ever.
    WINDOW = 24

    def __init__(self) -> None:
        self._lately: deque[tuple[str, str, str]] = deque(maxlen=self.WINDOW)
        self._times = 0

    @property
    def is_stuck(self) -> bool:
        """Whether it is time to end this."""
        return self._times >= self.LIMIT

    def note(self, call: Call, result: ToolResult) -> ToolResult:
        """The result, with a remark where the call is a repetition."""
        this = (call.name, call.arguments, result.text)
        self._lately.append(this)
        self._times = self._lately.count(this)
        if self._times < self.NOTICE:
            return result
        remark = (
            f"[this very call has given this very result {self._times} times of late: "
            "change your approach, or end with what you have]"
        )
        return ToolResult(f"{cut_middle(result.text, 2_000)}\n{remark}", result.exit_code)
