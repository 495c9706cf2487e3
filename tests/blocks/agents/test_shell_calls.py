"""The commands that agents run, read from their events."""

import json
from pathlib import Path
from typing import Any

import pytest

from wildloop.blocks.agents.shell_calls import shell_calls, shell_commands


@pytest.mark.parametrize(
    ("event", "commands"),
    [
        (
            {
                "type": "assistant",
                "message": {
                    "content": [
                        {"type": "text", "text": "python train.py"},
                        {"type": "tool_use", "name": "Bash", "input": {"command": "ls"}},
                        {"type": "tool_use", "name": "Read", "input": {"file_path": "train.py"}},
                        {"type": "tool_use", "name": "Bash", "input": {"command": "pwd"}},
                    ]
                },
            },
            ["ls", "pwd"],
        ),
        (
            {
                "type": "item.started",
                "item": {"type": "command_execution", "command": "bash -lc 'ls -l'"},
            },
            ["bash -lc 'ls -l'"],
        ),
        (
            {
                "type": "item.started",
                "item": {"type": "command_execution", "command": ["bash", "-c", "ls -l"]},
            },
            ["bash -c 'ls -l'"],
        ),
        (
            {"type": "item.completed", "item": {"type": "command_execution", "command": "ls"}},
            [],
        ),
        (
            {"type": "tool_use", "part": {"tool": "bash", "state": {"input": {"command": "ls"}}}},
            ["ls"],
        ),
        ({"type": "tool_use", "part": {"tool": "read", "state": {"input": {"path": "x"}}}}, []),
        (
            {"type": "answer", "calls": [{"name": "bash", "arguments": '{"command": "ls"}'}]},
            ["ls"],
        ),
        ({"type": "answer", "calls": [{"name": "bash", "arguments": "{broken"}]}, []),
        ({"type": "assistant", "message": {"content": "text"}}, []),
        ({"type": "assistant", "message": None}, []),
        ({"odd": 1}, []),
        ({}, []),
    ],
)
def test_commands_of_an_event(event: dict[str, Any], commands: list[str]) -> None:
    assert shell_commands(event) == commands


def test_commands_of_every_attempt_are_found(tmp_path: Path) -> None:
    for number, command in enumerate(["one", "two"]):
        folder = tmp_path / ("." if number == 0 else f"attempt-{number}")
        folder.mkdir(exist_ok=True)
        event = {"type": "answer", "calls": [{"name": "bash", "arguments": ""}]}
        event["calls"][0]["arguments"] = json.dumps({"command": command})  # type: ignore[index]
        (folder / "events.jsonl").write_text(f"no event\n{json.dumps(event)}\n")
    assert sorted(shell_calls(tmp_path)) == ["one", "two"]
    assert shell_calls(tmp_path / "nowhere") == []
