"""Finds the files of the trackers below a folder, without reading it all."""

import os
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from wildloop.flows.metrics.json_files import TRAINER_STATE, is_json_file
from wildloop.flows.metrics.tabular import is_table_file
from wildloop.flows.metrics.trackio import is_trackio_file
from wildloop.flows.models.metrics import SourceKind

DEPTH = 8
ENTRIES = 20_000
PASSED_OVER = frozenset({"node_modules", "__pycache__", "site-packages", "venv"})
HIDDEN_BUT_READ = frozenset({".wandb"})
PROJECT_FOLDER = ".wild"
HYDRA_FOLDER = ".hydra"
_EVENTS = "events.out.tfevents."
_MLFLOW_RUN = re.compile(r"[0-9a-f]{32}")


class Located(NamedTuple):
    """A source of metrics: a file of a logger or tracker, or an MLflow run folder."""

    kind: SourceKind
    path: Path


@dataclass
class Walk:
    """What a walk has found. `projects` are the `.wild` folders it passed over."""

    located: list[Located] = field(default_factory=list)
    projects: list[Path] = field(default_factory=list)
    is_complete: bool = True


def walk(top: Path, entries: int = ENTRIES) -> Walk:
    """Look for sources below `top`, the nearest first; symbolic links are not followed.

    Text logs are sources where Hydra wrote them. Hidden folders, virtual environments and run
    folders are passed over. After `entries` files and folders, or 8 folders
    deep, the search ends and is not complete.
    """
    found = Walk()
    waiting = deque([(top, 0)])
    while waiting:
        folder, depth = waiting.popleft()
        logs: list[Path] = []
        is_hydras = False
        for entry in _entries(folder):
            entries -= 1
            if entries < 0:
                found.is_complete = False
                return found
            path = folder / entry.name
            if entry.is_file(follow_symlinks=False):
                kind = kind_of(entry.name)
                if is_trackio_file(path):
                    found.located.append(Located(SourceKind.TRACKIO, path))
                elif kind is not None:
                    found.located.append(Located(kind, path))
                elif entry.name.endswith(".log"):
                    logs.append(path)
            elif entry.is_dir(follow_symlinks=False):
                is_hydras = is_hydras or entry.name == HYDRA_FOLDER
                if entry.name == PROJECT_FOLDER:
                    found.projects.append(path)
                elif _MLFLOW_RUN.fullmatch(entry.name) and (path / "meta.yaml").is_file():
                    found.located.append(Located(SourceKind.MLFLOW, path))
                elif _is_read(entry.name, path):
                    if depth < DEPTH:
                        waiting.append((path, depth + 1))
                    else:
                        found.is_complete = False
        if is_hydras:
            found.located += [Located(SourceKind.LOG, path) for path in logs]
    return found


def kind_of(name: str) -> SourceKind | None:
    """The kind of a file by its name; None for one that is not read."""
    if is_tracker_file(name):
        return SourceKind.WANDB if name.endswith(".wandb") else SourceKind.TENSORBOARD
    if is_table_file(name):
        return SourceKind.CSV
    if is_json_file(name):
        return SourceKind.TRAINER if name == TRAINER_STATE else SourceKind.JSON
    return None


def is_tracker_file(name: str) -> bool:
    """Whether a file is one of TensorBoard's or W&B's, by its name."""
    return name.startswith(_EVENTS) or (name.startswith("run-") and name.endswith(".wandb"))


def _is_read(name: str, path: Path) -> bool:
    if name in PASSED_OVER or (name.startswith(".") and name not in HIDDEN_BUT_READ):
        return False
    return not (path / "pyvenv.cfg").is_file()


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What lies in a folder, by name; nothing if it is gone or closed to us."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return
    yield from found
