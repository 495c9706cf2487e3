"""The manifest of a run: what was run, where, on which commit, and how it ended."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from wildloop.flows.files.paths import RunPaths

BUSY_LOAD = 1.5


class EnvironmentNote(BaseModel):
    """The environment of a run: `file` lists the packages, `hash` is the SHA-256 of its content."""

    python: str | None = None
    hash: str | None = None
    file: str | None = None
    driver: str | None = None
    startup: dict[str, float] = Field(
        default_factory=dict,
        description="What this Python carries out by itself and no package brings, and when each "
        "was last changed.",
    )


class Manifest(BaseModel):
    """Contents of manifest.json. Times are Unix seconds."""

    run_id: str
    name: str
    command: str
    workdir: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    git_commit: str | None = None
    dirty: bool = False
    patch: str | None = Field(default=None, description="File with the uncommitted changes.")
    attempt: int = 0
    host: str
    devices: list[str] = Field(default_factory=list)
    pid: int | None = None
    job_id: str | None = Field(default=None, description="Slurm's number of the job.")
    worktree: str | None = Field(
        default=None, description="The git worktree that the command ran in."
    )
    snapshot: str | None = Field(default=None, description="Commit of that snapshot.")
    tree: str | None = Field(default=None, description="Commit or tree of the files that ran.")
    code: str | None = Field(
        default=None, description="Digest of its files, without notes and outputs."
    )
    code_note: str = Field(default="", description="Why it is not the code that ran, if so.")
    code_lines: int | None = Field(default=None, description="How many lines these have.")
    load_at_start: float | None = Field(
        default=None, description="Runnable processes of the host for each of its cores."
    )
    load_at_end: float | None = None
    shared_devices: list[str] = Field(
        default_factory=list, description="Devices that processes outside Wildloop used too."
    )
    python: str = Field(description="Version of Wildloop's own Python.")
    platform: str
    environment: EnvironmentNote = Field(default_factory=EnvironmentNote)
    protected_restored: list[str] = Field(
        default_factory=list, description="Protected files that were put back before the start."
    )
    started_at: float
    finished_at: float | None = None
    exit_code: int | None = None
    status: str = "running"


def read_manifest(paths: RunPaths) -> Manifest:
    """Read manifest.json."""
    return Manifest.model_validate_json(paths.manifest.read_text(encoding="utf-8"))


def finish_manifest(paths: RunPaths, status: str, exit_code: int | None) -> Manifest:
    """Add the outcome; an outcome recorded before (by a worker that died then) stays."""
    manifest = read_manifest(paths)
    if manifest.finished_at is None:
        now = datetime.now(UTC).timestamp()
        # The exit code's own time is the true one: a run may have ended while no worker ran.
        ended = paths.exit_code.stat().st_mtime if paths.exit_code.exists() else now
        manifest = manifest.model_copy(
            update={
                "finished_at": ended,
                "exit_code": exit_code,
                "status": status,
                "load_at_end": None if manifest.job_id else host_load(),
            }
        )
        save_manifest(paths, manifest)
    return manifest


def busy_reason(run_dir: Path) -> str | None:
    """Why a run did not have its machine to itself; None if it had, or nothing is known of it.

    Wildloop's own runs beside it count by the load that they make.
    """
    try:
        manifest = read_manifest(RunPaths(run_dir))
    except (OSError, ValidationError):
        return None
    if manifest.shared_devices:
        return f"others used its GPU ({'; '.join(manifest.shared_devices)})"
    load = max(manifest.load_at_start or 0.0, manifest.load_at_end or 0.0)
    return f"load {load:.1f} for each core of {manifest.host}" if load > BUSY_LOAD else None


def snapshot_of(run_dir: Path) -> str | None:
    """The snapshot that a run executed; None if it ran in its project's folder."""
    try:
        return read_manifest(RunPaths(run_dir)).snapshot
    except (OSError, ValidationError):
        return None


def host_load() -> float:
    """Runnable processes of this host for each of its cores, over the last minute."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def save_manifest(paths: RunPaths, manifest: Manifest) -> None:
    """Write manifest.json, whole or not at all."""
    temporary = paths.manifest.with_suffix(".tmp")
    temporary.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.replace(paths.manifest)


def startup_note(manifest: Manifest) -> str | None:
    """What its Python carries out by itself, as a label has it; None for nothing."""
    startup = manifest.environment.startup if manifest.environment else {}
    return json.dumps(startup) if startup else None
