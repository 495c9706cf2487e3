"""The runs of a session, read from their folders and from git; nothing of the product is used."""

import json
import math
import shlex
import subprocess
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """A run as its files tell of it.

    Args:
        code: path and blob of each file that it executed.
        digest: what its manifest calls that code.
        call: of the agent, which has created it.
        is_own: whether Wildloop has made it itself.
        lines: of that code.
    """

    id: str
    name: str
    command: str
    seed: str
    code: tuple[tuple[str, str], ...]
    digest: str
    value: float | None
    status: str
    created: float
    started: float
    finished: float
    call: str
    iteration: int
    is_own: bool = False
    lines: int = 0

    @property
    def is_further(self) -> bool:
        """By its name, as people see it."""
        return self.is_own and self.name.startswith("further ")

    @cached_property
    def program(self) -> str:
        """The command without its settings."""
        return " ".join(word for word in shlex.split(self.command) if not word.startswith("--"))

    @cached_property
    def settings(self) -> dict[str, str]:
        """Of the command, without the seed."""
        words = [word[2:] for word in shlex.split(self.command) if word.startswith("--")]
        pairs = dict(word.partition("=")[::2] for word in words)
        return {name: value for name, value in pairs.items() if name != "seed"}

    def since(self, moment: float) -> "Run":
        """As it was at a moment."""
        if self.finished <= moment:
            return self
        return replace(self, value=None, status="running")


def read_runs(project: Path, notes: Path, metric: str) -> list[Run]:
    """All runs of the session, those of its agent and Wildloop's own, as they were created."""
    lines = map(json.loads, (notes / "created.jsonl").read_text().splitlines())
    runs = {line["id"]: _run(project, metric, line) for line in lines}
    for folder in (path.parent for path in (project / ".wild" / "runs").glob("*/manifest.json")):
        if folder.name not in runs:
            runs[folder.name] = _run(project, metric, {"id": folder.name})
    return sorted(runs.values(), key=lambda run: run.created)


def _run(project: Path, metric: str, line: dict[str, object]) -> Run:
    """A run, as its agent has noted its creation; of Wildloop's own nothing but its id is noted."""
    folder = project / ".wild" / "runs" / str(line["id"])
    manifest = json.loads((folder / "manifest.json").read_text())
    own = {"name": manifest["name"], "at": manifest["started_at"], "iteration": 0, "turn": 0}
    is_own = "name" not in line
    line = own | line
    code = (folder / "exit_code").read_text().strip()
    assert str(manifest["exit_code"]) == code
    series = folder / "metrics.jsonl"
    points = map(json.loads, series.read_text().splitlines()) if series.exists() else []
    values = [point[metric] for point in points if metric in point]
    good = code == "0" and bool(values) and math.isfinite(values[-1])
    index, turn = int(str(line["iteration"])), int(str(line["turn"]))
    files = files_of(project, manifest["tree"])
    return Run(
        id=str(line["id"]),
        name=str(line["name"]),
        command=manifest["command"],
        seed=str(manifest["seed"]),
        code=files,
        lines=lines_of(project, files),
        digest=manifest["code"],
        value=float(values[-1]) if good else None,
        status=manifest["status"],
        created=float(str(line["at"])),
        started=manifest["started_at"],
        finished=manifest["finished_at"],
        call=f"iteration-{index:02d}" + (f".{turn + 1}" if turn else ""),
        iteration=index,
        is_own=is_own,
    )


def files_of(project: Path, tree: str) -> tuple[tuple[str, str], ...]:
    """The files of a commit that can matter: all but notes and what Wildloop writes."""
    listed = subprocess.run(
        ["git", "-C", str(project), "ls-tree", "-r", tree],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    pairs = [line.split("\t") for line in listed.splitlines()]
    return tuple(
        sorted(
            (name, entry.split()[2])
            for entry, name in pairs
            if not name.startswith(".wild/") and not name.endswith((".md", ".gitignore"))
        )
    )


def lines_of(project: Path, files: tuple[tuple[str, str], ...]) -> int:
    """How many lines these files have: in git's objects, not in the tree."""
    asked = "".join(f"{blob}\n" for _, blob in files)
    said = subprocess.run(
        ["git", "-C", str(project), "cat-file", "--batch=%(objectname)"],
        check=True,
        capture_output=True,
        text=True,
        input=asked,
    ).stdout
    # One line for the name of each, and one for its end.
    return said.count("\n") - 2 * len(files)
