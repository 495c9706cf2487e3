"""The manifest of a run: what was run, where, on which commit, and how it ended."""

import asyncio
import platform
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from blocks.launchers.base import ProcessStatus
from flows import git
from flows.environment import EnvironmentNote
from flows.paths import RunPaths

if TYPE_CHECKING:
    # An execution notes the metric files of its run, and these readers read manifests.
    from flows.execution import Execution


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


async def write_manifest(execution: "Execution", status: ProcessStatus) -> Manifest:
    """Write manifest.json and the patch of uncommitted changes; keep what is there already."""
    paths, spec, workdir = execution.paths, execution.spec, execution.workdir
    if paths.manifest.exists():
        return read_manifest(paths)
    commit, patch = await _code(execution)
    if patch:
        paths.patch.write_text(patch, encoding="utf-8", errors="surrogateescape")
    control = execution.control
    environment = await control.environments.record(workdir, execution.environment())
    manifest = Manifest(
        run_id=execution.run_id,
        name=spec.name,
        command=spec.command,
        workdir=str(workdir),
        parameters=spec.parameters,
        seed=spec.seed,
        attempt=execution.attempt.number,
        git_commit=commit,
        dirty=bool(patch),
        patch=paths.patch.name if patch else None,
        host=status.host or socket.gethostname(),
        devices=list(status.devices or control.devices or ()),
        pid=status.pid,
        job_id=status.job_id,
        python=sys.version.split()[0],
        platform=platform.platform(),
        environment=environment,
        protected_restored=execution.guard.restored,
        started_at=status.started_at or datetime.now(UTC).timestamp(),
    )
    _save(paths, manifest)
    return manifest


async def _code(execution: "Execution") -> tuple[str | None, str]:
    """Commit and uncommitted changes of the code that runs."""
    checkout, workdir = execution.spec.checkout, execution.workdir
    if checkout is not None:
        patch = Path(checkout.patch).read_text("utf-8", "surrogateescape") if checkout.patch else ""
        return checkout.git_commit, patch
    if not await git.is_repository(workdir):
        return None, ""
    return await asyncio.gather(git.head_commit(workdir), git.diff_patch(workdir))


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
            update={"finished_at": ended, "exit_code": exit_code, "status": status}
        )
        _save(paths, manifest)
    return manifest


def _save(paths: RunPaths, manifest: Manifest) -> None:
    temporary = paths.manifest.with_suffix(".tmp")
    temporary.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.replace(paths.manifest)
