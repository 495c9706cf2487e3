"""Stand-ins for agent CLIs: scripts that print given events, for what real ones do rarely."""

import json
import sys
from pathlib import Path
from typing import Any

Event = dict[str, Any]


def claude_text(text: str, message_id: str = "m1") -> Event:
    """An answer of the model, as Claude Code prints it."""
    usage = {"input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 500}
    content = [{"type": "text", "text": text}]
    message = {"id": message_id, "model": "claude-opus-4-8", "content": content, "usage": usage}
    return {"type": "assistant", "message": message}


def claude_result(text: str, cost: float = 0.5) -> Event:
    """The proper end of a call, as Claude Code prints it."""
    usage = {"input_tokens": 1000, "output_tokens": 200, "cache_read_input_tokens": 500}
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": text,
        "total_cost_usd": cost,
        "num_turns": 2,
        "usage": usage,
    }


def claude_error(text: str, status: int | None = None) -> Event:
    """A call that the API has refused, as Claude Code prints it."""
    return {
        "type": "result",
        "subtype": "success",
        "is_error": True,
        "api_error_status": status,
        "result": text,
        "total_cost_usd": 0,
        "num_turns": 1,
    }


def fake_cli(folder: Path, *calls: str) -> Path:
    """A program whose n-th call runs the n-th of these Python bodies, the last one for ever.

    A body may use `say(event)`, `json`, `os`, `sys`, `time`, and `prompt`, which was on stdin.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bodies = json.dumps(list(calls))
    program = folder / "fake-cli"
    program.write_text(
        f"""#!{sys.executable}
import json, os, pathlib, sys, time
if "--version" in sys.argv:
    print("1.2.3 (Fake)")
    sys.exit()
def say(event):
    print(json.dumps(event), flush=True)
counter = pathlib.Path(__file__).with_name("calls")
number = len(counter.read_bytes()) if counter.exists() else 0
counter.write_bytes(b"x" * (number + 1))
bodies = {bodies}
prompt = sys.stdin.read()
exec(bodies[min(number, len(bodies) - 1)])
"""
    )
    program.chmod(0o755)
    return program


def says(*events: Event, code: int = 0) -> str:
    """A body that prints these events and exits."""
    text = json.dumps(list(events))
    return f"for event in json.loads({text!r}): say(event)\nsys.exit({code})"


def times_called(program: Path) -> int:
    """How often the program was called."""
    counter = program.with_name("calls")
    return len(counter.read_bytes()) if counter.exists() else 0
