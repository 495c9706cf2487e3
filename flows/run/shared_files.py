"""Files that runs which overlapped in one folder have both written, as it seems."""

import math
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from wildloop.flows.evidence.settings import program_in
from wildloop.flows.files.manifest import Manifest, read_manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.git.code import counted
from wildloop.flows.metrics.walk import PASSED_OVER, is_tracker_file

ENTRIES = 20_000
DEPTH = 6
MOST = 20
MARK_LENGTH = 4
_WORD = re.compile(r"[\s=,:'\"]+")
# Places that are made anew for each run: dated, counted on or named by an id.
_ANEW = re.compile(r"\d{4}-\d\d-\d\d|\d\d-\d\d-\d\d|\d{8}|[0-9a-f]{8}|\d$")
# What people and agents write beside the runs, and what nobody reads back.
_NO_OUTPUT = frozenset({".md", ".markdown", ".rst", ".ipynb", ".log", ".out", ".err"})
_OUTPUT = frozenset(
    {".bin", ".h5", ".hdf5", ".joblib", ".keras", ".model", ".msgpack", ".npy", ".npz", ".onnx"}
    | {".pickle", ".pkl"}
)


def shared_files(paths: RunPaths, workdir: Path) -> list[str]:
    """The outputs, relative to `workdir`, that another run may have written, too; 20 at most.

    Nobody can see who wrote a file, so a file counts that was written while a run of the same
    program was under way in the same folder, at a place that bears no mark of either run: no name,
    no id, no date, no setting in which the two differ.
    """
    mine = read_manifest(paths)
    if mine.worktree is not None:
        return []
    program = program_in(mine.command)
    others = [one for one in _beside(paths, mine) if program_in(one.command) == program]
    if not others:
        return []
    since = min(max(one.started_at, mine.started_at) for one in others)
    until = max(math.inf if one.finished_at is None else one.finished_at for one in others)
    marks = _marks([mine, *others])
    written = _written_between(workdir, since, until)
    return sorted(name for name in written if _is_unmarked_output(name, marks))[:MOST]


def _beside(paths: RunPaths, mine: Manifest) -> Iterator[Manifest]:
    """The runs that were under way in the same folder for a part of this run's time."""
    for folder in paths.root.parent.iterdir():
        other = RunPaths(folder)
        if folder == paths.root:
            continue
        with suppress(OSError, ValueError):
            if _ended_before(other, mine.started_at):
                continue
            one = read_manifest(other)
            end = math.inf if one.finished_at is None else one.finished_at
            if one.worktree is None and one.workdir == mine.workdir and end > mine.started_at:
                yield one


def _ended_before(other: RunPaths, moment: float) -> bool:
    try:
        return other.exit_code.stat().st_mtime < moment
    except FileNotFoundError:
        return False


def _written_between(top: Path, since: float, until: float) -> Iterator[str]:
    """The files below `top` that were written last in this time; links are not followed."""
    waiting, seen = [(top, 0)], 0
    while waiting and seen < ENTRIES:
        folder, depth = waiting.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                seen += 1
                if entry.is_file(follow_symlinks=False):
                    if since < entry.stat(follow_symlinks=False).st_mtime < until:
                        yield str(Path(entry.path).relative_to(top))
                elif entry.is_dir(follow_symlinks=False) and depth < DEPTH:
                    inner = Path(entry.path)
                    is_hidden = entry.name.startswith(".") or entry.name in PASSED_OVER
                    if not is_hidden and not (inner / "pyvenv.cfg").exists():
                        waiting.append((inner, depth + 1))


def _is_unmarked_output(name: str, marks: Collection[str]) -> bool:
    """Whether a file is an output whose place does not tell whose it is."""
    path = PurePosixPath(name)
    if path.suffix in _NO_OUTPUT or is_tracker_file(path.name):
        return False
    if any(_ANEW.search(part) for part in path.with_suffix("").parts):
        return False
    is_output = path.suffix in _OUTPUT or not counted({name: ""})
    return is_output and not any(mark in name for mark in marks)


def _marks(runs: Sequence[Manifest]) -> set[str]:
    """What tells a run from the others: its id, and words of its name, command and settings."""
    told = [
        {
            word
            for text in (one.name, one.command, *map(str, one.parameters.values()))
            for word in _WORD.split(text)
            if len(word) >= MARK_LENGTH
        }
        for one in runs
    ]
    return {one.run_id for one in runs} | set.union(*told) - set.intersection(*told)
