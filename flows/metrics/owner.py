"""Which of the runs that share a working directory has written a file."""

import math
import os
import re
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from wildloop.blocks.launchers.processes import is_alive, members
from wildloop.blocks.launchers.record import ProcessRecord, read_exit_code, read_record
from wildloop.flows.files.manifest import read_manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.metrics import mlflow, wandb
from wildloop.flows.metrics.walk import Located, kind_of
from wildloop.flows.models.metrics import SourceKind

RUN_TAG = "wildloop.run"
CLAIMS = "sources.json"
SLACK_SECONDS = 0.05
ID_LENGTH = 8
UNDATED = frozenset({SourceKind.CSV, SourceKind.TRAINER, SourceKind.JSON, SourceKind.LOG})
_EVENT_FILE = re.compile(r"events\.out\.tfevents\.(\d{9,11})\.(.*?)(?:\.(\d{1,10})\.\d+)?(?:\.v2)?")


class Term(BaseModel):
    """A run and the time in which it wrote; `finished_at` is None while it goes on."""

    model_config = ConfigDict(frozen=True)

    folder: Path
    started_at: float
    finished_at: float | None = None
    host: str | None = None

    @property
    def run_id(self) -> str:
        """The run's id: the name of its folder."""
        return self.folder.name

    def covers(self, time: float) -> bool:
        """Whether something made at `time` may be this run's."""
        # Some formats tell whole seconds only.
        end = math.inf if self.finished_at is None else self.finished_at
        return math.floor(self.started_at) <= time <= end + SLACK_SECONDS


class Claims(BaseModel):
    """sources.json of a run folder: files that its processes were seen to write."""

    files: list[str] = []


class Owners:
    """Tells the files of one run from those of others in the same working directory.

    What says nothing of its own beginning (CSV, JSON and log files) must have been written last
    while the run was under way. The evidence, strongest first: the run's id
    in the path or in an MLflow tag; a process of the run that holds the file open, or that the file
    names (kept in sources.json, since it is gone once the run has ended); that no other run was
    under way when the file was made.
    """

    def __init__(self, run: Term, rivals: Sequence[Term], candidates: Sequence[Located]) -> None:
        self._run = run
        self._rivals = rivals
        self._candidates = candidates

    def owns(self, located: Located) -> bool | None:
        """Whether the run has written it; None if that cannot be told."""
        if located.kind is SourceKind.TRACKIO:
            # One file holds the runs of a whole project, and tells none of ours.
            return self._run.run_id in located.path.parts
        created = created_at(located)
        if created is None or not self._run.covers(created):
            return False
        if located.kind in UNDATED and created < self._run.started_at:
            # It was there before: checked out, or another run's.
            return False
        if located.kind is not SourceKind.MLFLOW and not _written_since(located, self._run):
            return False
        marked = self._marked(located)
        if marked is not None:
            return marked
        for run_id, files in self._claimed.items():
            if str(located.path) in files:
                return run_id == self._run.run_id
        if self._is_an_outsiders(located, created):
            return False
        return None if any(rival.covers(created) for rival in self._rivals) else True

    def _marked(self, located: Located) -> bool | None:
        ids = [self._run.run_id, *(rival.run_id for rival in self._rivals)]
        tag = mlflow.tag(located.path, RUN_TAG) if located.kind is SourceKind.MLFLOW else None
        if tag:
            return tag == self._run.run_id
        named = [
            one
            for one in ids
            if len(one) >= ID_LENGTH and any(one in part for part in located.path.parts)
        ]
        return self._run.run_id in named if named else None

    def _is_an_outsiders(self, located: Located, created: float) -> bool:
        """Whether the file names a live process that is none of the run's, or another host."""
        named = _EVENT_FILE.fullmatch(located.path.name)
        if located.kind is not SourceKind.TENSORBOARD or named is None or not named[3]:
            return False
        if self._run.host is not None and named[2] != self._run.host:
            return True
        pid = int(named[3])
        if self._run.host != socket.gethostname() or not self._pids or pid in self._pids:
            return False
        with suppress(psutil.Error):
            # A later process may have got the same number.
            return psutil.Process(pid).create_time() <= created + 1
        return False

    @cached_property
    def _pids(self) -> frozenset[int]:
        return frozenset(process.pid for process in _processes(self._run))

    @cached_property
    def _claimed(self) -> dict[str, frozenset[str]]:
        """The files by run id that are known to be a run's."""
        return {
            term.run_id: note_claims(term, self._candidates) for term in [self._run, *self._rivals]
        }


def note_claims(run: Term, candidates: Iterable[Located]) -> frozenset[str]:
    """The tracker files known to be a run's, now or when asked before.

    Those that its live processes hold open, and those of `candidates` that name one of these
    processes. They are noted in sources.json of the run folder.
    """
    path = run.folder / CLAIMS
    try:
        known = frozenset(Claims.model_validate_json(path.read_bytes()).files)
    except (OSError, ValidationError):
        known = frozenset()
    processes = _processes(run)
    pids = {process.pid for process in processes}
    seen = known | {str(one.path) for one in candidates if _writer(one) in pids}
    for process in processes:
        with suppress(psutil.Error, OSError):
            seen |= {
                file.path
                for file in process.open_files()
                if kind_of(Path(file.path).name) is not None
            }
    if seen != known:
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(Claims(files=sorted(seen)).model_dump_json() + "\n", encoding="utf-8")
        temporary.replace(path)
    return seen


def _writer(located: Located) -> int | None:
    """The process of this host that an event file names."""
    named = _EVENT_FILE.fullmatch(located.path.name)
    if named is None or not named[3] or named[2] != socket.gethostname():
        return None
    return int(named[3])


def created_at(located: Located) -> float | None:
    """When a source was made (Unix seconds), by its own word; None if it does not say."""
    match located.kind:
        case SourceKind.WANDB:
            return wandb.started_at(located.path)
        case SourceKind.MLFLOW:
            return mlflow.started_at(located.path)
        case SourceKind.CSV | SourceKind.TRAINER | SourceKind.JSON | SourceKind.LOG:
            return _last_change(located.path, 0) or None
        case _:
            named = _EVENT_FILE.fullmatch(located.path.name)
            return float(named[1]) if named else None


def rivals(run: Term, folders: Sequence[Path]) -> list[Term]:
    """The other runs of some `.wild/runs` folders that were under way during `run`."""
    found = []
    for folder in folders:
        if not folder.is_dir():
            continue
        for other in folder.iterdir():
            if other.is_dir() and other.resolve() != run.folder.resolve():
                term = term_of(other)
                if term is not None and _overlap(run, term):
                    found.append(term)
    return found


def term_of(run_dir: Path) -> Term | None:
    """When and where a run ran, by the files of its folder; None if it was never launched."""
    manifest, record = None, None
    with suppress(OSError, ValueError):
        manifest = read_manifest(RunPaths(run_dir))
    with suppress(OSError, ValueError):
        record = read_record(run_dir)
    known = manifest or record
    if known is None:
        return None
    finished = manifest.finished_at if manifest is not None else None
    ended = read_exit_code(run_dir)
    if ended is not None:
        finished = ended[1]
    elif finished is None and record is not None and _is_lost(record):
        finished = _last_change(RunPaths(run_dir).log, record.started_at)
    return Term(folder=run_dir, started_at=known.started_at, finished_at=finished, host=known.host)


def _is_lost(record: ProcessRecord) -> bool:
    return record.host == socket.gethostname() and not is_alive(record)


def _last_change(log: Path, otherwise: float) -> float:
    try:
        return log.stat().st_mtime
    except OSError:
        return otherwise


def _overlap(one: Term, other: Term) -> bool:
    first, second = sorted((one, other), key=lambda term: term.started_at)
    end = first.finished_at
    # Some formats tell whole seconds only.
    return end is None or end + 1 >= second.started_at


def _written_since(located: Located, run: Term) -> bool:
    return _last_change(located.path, 0) >= run.started_at - SLACK_SECONDS


def _processes(run: Term) -> list[psutil.Process]:
    """The live processes of a run; none where it ran on another host."""
    if run.host is not None and run.host != socket.gethostname():
        return []
    try:
        record = read_record(run.folder)
    except ValueError:
        return []
    if record is None or record.host != socket.gethostname():
        return []
    return members(record)
