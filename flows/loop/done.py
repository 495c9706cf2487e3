"""Whether an agent's DONE is to be believed."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.protocol.plan import Plan, TaskStatus

SHOWN = 10
NO_FINISHED_RUN = (
    "DONE is not believed yet: no run of this session has finished, so nothing was measured. If "
    "the goal is reached without one, answer DONE once more; else create the runs that it takes."
)
# A word that names a file: with a folder in it, or with a suffix.
_PATH = re.compile(r"[^\s<>{}$|]*(?:/[^\s<>{}$|]*|\w\.[A-Za-z][A-Za-z0-9]{0,7})")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SPLIT = re.compile(r"\s*[,;]\s*|\s+(?:and|or)\s+|\s+")
_ORNAMENT = "`*\"'()[]"


def missing_deliverables(plan: Plan, folders: Sequence[Path]) -> list[tuple[str, str]]:
    """(task, file) of each file that a done task names as its deliverable and that is not there.

    Args:
        plan: tasks.md. What a cancelled task names is not asked for, nor words that name no file.
        folders: where relative paths may begin.
    """
    return [
        (task.id or task.text[:40], path)
        for task in plan.tasks
        if task.status is TaskStatus.DONE and task.deliverable
        for path in _paths(task.deliverable)
        if not any(_exists(folder, path) for folder in folders)
    ]


def told_missing(missing: Sequence[tuple[str, str]]) -> str:
    """The fault of a DONE whose deliverables are not there."""
    names = ", ".join(f"{path} ({task})" for task, path in missing[:SHOWN])
    rest = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    return f"DONE is not believed: deliverables of closed tasks do not exist: {names}{rest}"


def was_asked(iterations: Sequence[IterationRecord]) -> bool:
    """Whether the agent has heard that no run has finished."""
    return any(NO_FINISHED_RUN in call.faults for call in iterations)


def _paths(deliverable: str) -> Iterator[str]:
    for word in _SPLIT.split(deliverable):
        path = word.strip(_ORNAMENT).rstrip(".:")
        if path and not _URL.match(path) and _PATH.fullmatch(path):
            yield path


def _exists(folder: Path, path: str) -> bool:
    """Whether a path, or what a pattern stands for, is there; one that cannot be is not."""
    try:
        whole = folder / Path(path).expanduser()
        if whole.exists() or not any(mark in path for mark in "*?"):
            return whole.exists()
        root = Path(whole.anchor)
        return any(root.glob(str(whole.relative_to(root))))
    except (OSError, ValueError, RuntimeError):
        return False
