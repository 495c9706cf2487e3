"""What a run has written: in its own folder, and in the directory that it worked in."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import overload

from pydantic import BaseModel, ConfigDict, Field

from wildloop.flows.files.manifest import read_manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.metrics.owner import Owners, Term, note_claims, rivals, term_of
from wildloop.flows.metrics.walk import PROJECT_FOLDER, Located, walk

SHOWN = 3


class Sources(BaseModel):
    """The tracker files of a run, and notes on those that could not be assigned."""

    model_config = ConfigDict(frozen=True)

    located: list[Located] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


def find_sources(run: Term, workdir: Path | None) -> Sources:
    """The files of W&B, TensorBoard and MLflow that belong to a run.

    All that lie in its folder do; of those in `workdir`, the ones made while it ran, as far as no
    other run can have written them (see `Owners`).
    """
    inside = walk(run.folder)
    notes = [] if inside.is_complete else [_cut_short(run.folder)]
    workdir = _worked_in(run.folder, workdir)
    if workdir is None:
        return Sources(located=inside.located, notes=notes)
    outside = walk(workdir)
    if not outside.is_complete:
        notes.append(_cut_short(workdir))
    if not outside.located:
        return Sources(located=inside.located, notes=notes)
    others = rivals(run, _run_folders(run, workdir, outside.projects))
    owners = Owners(run, others, outside.located)
    mine, unclear = [], []
    inner = set(inside.located)
    for located in outside.located:
        if located in inner:
            continue
        owned = owners.owns(located)
        if owned:
            mine.append(located)
        elif owned is None:
            unclear.append(located.path)
    if unclear:
        notes.append(_ambiguous(unclear, workdir))
    return Sources(located=[*inside.located, *mine], notes=notes)


def claim_sources(run_dir: Path, workdir: Path) -> list[str]:
    """Note the tracker files in `workdir` that the live processes of a run write; all so far.

    Worth calling now and then while several runs share a working directory: once a run has ended,
    a file that names none of them can no longer be assigned. Reading the metrics does it too.
    """
    term, workdir = term_of(run_dir), _worked_in(run_dir, workdir)
    return sorted(note_claims(term, walk(workdir).located)) if term is not None else []


@overload
def _worked_in(run_dir: Path, workdir: Path) -> Path: ...
@overload
def _worked_in(run_dir: Path, workdir: Path | None) -> Path | None: ...
def _worked_in(run_dir: Path, workdir: Path | None) -> Path | None:
    """`workdir`, or the git worktree that stood for it."""
    with suppress(OSError, ValueError):
        worktree = read_manifest(RunPaths(run_dir)).worktree
        if workdir is not None and worktree is not None and Path(worktree).is_dir():
            return Path(worktree)
    return workdir


def _run_folders(run: Term, workdir: Path, inner: Sequence[Path]) -> list[Path]:
    """Where the runs that share a part of `workdir` keep their folders."""
    above = [parent / PROJECT_FOLDER for parent in workdir.resolve().parents]
    folders = {run.folder.parent.resolve()}
    folders |= {(project / "runs").resolve() for project in [*inner, *above]}
    return sorted(folders)


def _cut_short(folder: Path) -> str:
    return (
        f"'{folder}' was searched for metric files only in part, it is too large: let the run "
        f"write to $WILDLOOP_RUN_DIR ('{RunPaths(folder).metrics.name}' or the tracker's folder)"
    )


def _ambiguous(paths: Sequence[Path], workdir: Path) -> str:
    shown = ", ".join(str(path.relative_to(workdir)) for path in paths[:SHOWN])
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return (
        f"left out, since another run was under way in the same directory: {shown}{more}; "
        "let each run write to $WILDLOOP_RUN_DIR"
    )
