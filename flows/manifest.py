"""The manifest of a run: what was run, where, on which commit, and how it ended."""

import asyncio
import platform
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from blocks.launchers.base import ProcessStatus
from flows import git
from flows.models.run import RunSpec
from flows.paths import RunPaths


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
    host: str
    devices: list[str] = Field(default_factory=list)
    pid: int | None = None
    python: str
    platform: str
    started_at: float
    finished_at: float | None = None
    exit_code: int | None = None
    status: str = "running"


async def write_manifest(
    paths: RunPaths,
    spec: RunSpec,
    run_id: str,
    workdir: Path,
    devices: tuple[str, ...] | None,
    status: ProcessStatus,
) -> Manifest:
    """Write manifest.json and the patch of uncommitted changes; keep what is there already."""
    if paths.manifest.exists():
        return read_manifest(paths)
    commit, patch = None, ""
    if await git.is_repository(workdir):
        commit, patch = await asyncio.gather(git.head_commit(workdir), git.diff_patch(workdir))
    if patch:
        paths.patch.write_text(patch, encoding="utf-8", errors="surrogateescape")
    manifest = Manifest(
        run_id=run_id,
        name=spec.name,
        command=spec.command,
        workdir=str(workdir),
        parameters=spec.parameters,
        seed=spec.seed,
        git_commit=commit,
        dirty=bool(patch),
        patch=paths.patch.name if patch else None,
        host=socket.gethostname(),
        devices=list(devices or ()),
        pid=status.pid,
        python=sys.version.split()[0],
        platform=platform.platform(),
        started_at=status.started_at or datetime.now(UTC).timestamp(),
    )
    _save(paths, manifest)
    return manifest


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
