"""tasks.md as this agent reads and marks it."""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_LINE = re.compile(r"^(\s*[-*+] \[)([ xX/\-])(\] \[(P\d+-T\d+)\] )(.*)$")
_GOAL = re.compile(r"^## Goal[ \t]*\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class TaskLine(BaseModel):
    """One task of tasks.md."""

    model_config = ConfigDict(frozen=True)

    id: str
    box: str
    line: str

    @property
    def is_open(self) -> bool:
        """Whether there is something left to do."""
        return self.box in (" ", "/")

    @property
    def text(self) -> str:
        """What is to be done, without deliverable and condition."""
        return self.line.split(" | ")[0]

    @property
    def deliverable(self) -> str | None:
        """The path that the line names, relative to the project."""
        found = re.search(r"\| deliverable:([^|]+)", self.line)
        return found[1].strip(" `\t") or None if found else None


def read_tasks(text: str) -> list[TaskLine]:
    """The tasks, in order."""
    matches = (_LINE.match(line) for line in text.splitlines())
    return [TaskLine(id=m[4], box=m[2].lower(), line=m[5]) for m in matches if m]


def current_task(tasks: Sequence[TaskLine]) -> TaskLine | None:
    """The task in progress, else the first open one."""
    started = next((task for task in tasks if task.box == "/"), None)
    return started or next((task for task in tasks if task.is_open), None)


def goal_section(text: str) -> str:
    """The goal as the plan (or a prompt) quotes it; empty if it has none."""
    found = _GOAL.search(text)
    lines = found[1].strip().splitlines() if found else []
    return "\n".join(line.removeprefix(">").strip() for line in lines)


def mark(path: Path, task_id: str, box: str) -> None:
    """Set the box of a task in tasks.md, all else as it was."""
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines):
        match = _LINE.match(line)
        if match and match[4] == task_id:
            lines[number] = f"{match[1]}{box}{match[3]}{match[5]}"
    write_whole(path, "\n".join(lines))


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader, or a kill in the middle, sees the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
