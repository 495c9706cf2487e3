"""Write down what a run is as it is launched: command, code, devices, environment."""

import asyncio
import os
import platform
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

from wildloop.blocks.cluster.contention import read_occupancy
from wildloop.blocks.cluster.gpu import GpuReader
from wildloop.blocks.launchers.base import ProcessStatus
from wildloop.blocks.launchers.processes import launched_pids
from wildloop.flows.files.disk import when_there_is_room
from wildloop.flows.files.manifest import Manifest, host_load, read_manifest, save_manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.git import repository
from wildloop.flows.git.snapshot import snapshot_patch
from wildloop.flows.run.checkout import worktree_of
from wildloop.flows.run.code import code_at_start
from wildloop.flows.run.execution import Execution


async def write_manifest(execution: Execution, status: ProcessStatus) -> Manifest:
    """Write manifest.json and the patch of uncommitted changes; keep what is there already.

    Of a job that Slurm has begun anew, where and when that was is brought up to date.
    """
    paths, spec, workdir = execution.paths, execution.spec, execution.workdir
    if paths.manifest.exists():
        return await _begun_anew(paths, status)
    commit, patch = await _code(execution)
    code = await code_at_start(execution)
    if patch:
        await when_there_is_room(
            lambda: paths.patch.write_text(patch, encoding="utf-8", errors="surrogateescape"),
            paths.root,
        )
    control = execution.control
    environment = await control.environments.record(workdir, execution.environment(), spec.command)
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
        tree=code.tree,
        code=code.digest,
        code_lines=code.lines,
        code_note=code.note,
        load_at_start=None if status.job_id else host_load(),
        shared_devices=await _shared_devices(execution),
        python=sys.version.split()[0],
        platform=platform.platform(),
        environment=environment,
        protected_restored=execution.guard.restored,
        started_at=status.started_at or datetime.now(UTC).timestamp(),
    )
    await when_there_is_room(lambda: save_manifest(paths, manifest), paths.root)
    return manifest


async def _begun_anew(paths: RunPaths, status: ProcessStatus) -> Manifest:
    known = read_manifest(paths)
    same = status.started_at is None or status.started_at == known.started_at
    if status.job_id is None or same:
        return known
    changed = known.model_copy(
        update={
            "host": status.host or known.host,
            "devices": list(status.devices),
            "pid": status.pid,
            "started_at": status.started_at,
        }
    )
    await when_there_is_room(lambda: save_manifest(paths, changed), paths.root)
    return changed


async def _code(execution: Execution) -> tuple[str | None, str]:
    """Commit and uncommitted changes of the code that runs."""
    checkout, workdir = execution.spec.checkout, execution.workdir
    if checkout is not None and checkout.snapshot is not None:
        return checkout.git_commit, await snapshot_patch(workdir, checkout)
    if checkout is not None:
        patch = Path(checkout.patch).read_text("utf-8", "surrogateescape") if checkout.patch else ""
        return checkout.git_commit, patch
    if not await repository.is_repository(workdir):
        return None, ""
    return await asyncio.gather(repository.head_commit(workdir), repository.diff_patch(workdir))


async def _shared_devices(execution: Execution) -> list[str]:
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
