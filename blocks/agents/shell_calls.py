"""The shell commands that an agent has run, from the events of a call."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wildloop.blocks.agents.jsonl import Event, read_events

EVENTS = "events.jsonl"
MAX_COMMANDS = 5000


def shell_calls(record: Path) -> list[str]:
    """The commands of a call, through all its attempts; none for agents that print no events.

    Args:
        record: folder of the call.
    """
    found: list[str] = []
    for path in sorted(record.rglob(EVENTS)):
        for event in read_events(path):
            found += shell_commands(event)
            if len(found) >= MAX_COMMANDS:
                return found[:MAX_COMMANDS]
    return found


def shell_commands(event: Event) -> list[str]:
    """The commands of one event of Claude Code, Codex, OpenCode or the built-in tool loop."""
    return [command for command in _commands(event) if command.strip()]


def _commands(event: Event) -> Iterator[str]:
    match event:
        case {"type": "assistant", "message": {"content": list() as parts}}:
            for part in parts:
                match part:
                    case {"type": "tool_use", "name": "Bash", "input": given}:
                        yield from _given(given)
        case {"type": "item.started", "item": {"type": "command_execution", "command": command}}:
            yield _text(command)
        case {"type": "tool_use", "part": {"tool": "bash", "state": {"input": given}}}:
            yield from _given(given)
        case {"type": "answer", "calls": list() as calls}:
            for call in calls:
                match call:
                    case {"name": "shell" | "bash", "arguments": str() as arguments}:
                        yield from _given(_loaded(arguments))


def _given(arguments: Any) -> Iterator[str]:
    if isinstance(arguments, dict):
        yield _text(arguments.get("command", ""))


def _text(command: Any) -> str:
    if isinstance(command, list):
        return shlex.join(str(word) for word in command)
    return command if isinstance(command, str) else ""


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
