"""The manifest of a run: what was run, where, on which commit, and how it ended."""

import asyncio
import os
import platform
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from blocks.cluster.contention import read_occupancy
from blocks.cluster.gpu import GpuReader
from blocks.launchers.base import ProcessStatus
from blocks.launchers.processes import launched_pids
from flows import git
from flows.checkout import worktree_of
from flows.environment import EnvironmentNote
from flows.git_snapshot import snapshot_patch
from flows.paths import RunPaths

if TYPE_CHECKING:
    # An execution notes the metric files of its run, and these readers read manifests.
    from flows.execution import Execution

BUSY_LOAD = 1.5


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
    worktree = worktree_of(workdir, execution.run_id) if spec.checkout else None
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
        worktree=str(worktree) if worktree else None,
        snapshot=spec.checkout.snapshot if spec.checkout else None,
        load_at_start=None if status.job_id else _load(),
        shared_devices=await _shared_devices(execution),
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
    if checkout is not None and checkout.snapshot is not None:
        return checkout.git_commit, await snapshot_patch(workdir, checkout)
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
            update={
                "finished_at": ended,
                "exit_code": exit_code,
                "status": status,
                "load_at_end": None if manifest.job_id else _load(),
            }
        )
        _save(paths, manifest)
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


def _load() -> float:
    return os.getloadavg()[0] / (os.cpu_count() or 1)


async def _shared_devices(execution: "Execution") -> list[str]:
    devices = execution.control.devices
    if not devices or execution.spec.gpus == 0:
        return []
    own = await asyncio.to_thread(launched_pids)
    reader = GpuReader(os.environ.get("CUDA_VISIBLE_DEVICES"))
    seen = await read_occupancy(reader, own, devices)
    return [
        f"{sample.device}: {', '.join(one.name or str(one.pid) for one in sample.outside)}"
        for sample in seen.samples
        if sample.device in devices and sample.outside
    ]


def _save(paths: RunPaths, manifest: Manifest) -> None:
    temporary = paths.manifest.with_suffix(".tmp")
    temporary.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.replace(paths.manifest)
