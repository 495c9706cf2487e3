"""Commands as Kubernetes Jobs."""

import asyncio
import contextlib
import hashlib
import logging
import os
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

from wildloop.blocks.launchers.base import (
    Launcher,
    LaunchFailed,
    LaunchSpec,
    ProcessState,
    ProcessStatus,
)
from wildloop.blocks.launchers.kubernetes_api import Cluster, Refused, Silent
from wildloop.blocks.launchers.kubernetes_compute import KubernetesCompute
from wildloop.blocks.launchers.kubernetes_manifest import (
    SCRIPT,
    job_manifest,
    script,
    secret_manifest,
)
from wildloop.blocks.launchers.kubernetes_pool import Target
from wildloop.blocks.launchers.kubernetes_record import (
    CREATED,
    END,
    FINAL,
    INTENT,
    START,
    STOP,
    Created,
    End,
    Final,
    Intent,
    Start,
    read,
)
from wildloop.blocks.launchers.kubernetes_state import Phase, View
from wildloop.blocks.launchers.kubernetes_watch import JobWatch
from wildloop.blocks.launchers.record import read_exit_code, write_exit_code
from wildloop.blocks.launchers.slurm_record import write, write_text

logger = logging.getLogger(__name__)
LOOK_SECONDS = 0.5
SILENT_SECONDS = 120.0
TERMINATING_SECONDS = 120.0
_GOING_ON = (ProcessState.PENDING, ProcessState.RUNNING)


class KubernetesLauncher(Launcher):
    """Launches as Jobs of one pod; the record folder lies in a volume that pods mount at its path.

    A Job's name comes from the launch, so that it is made once, whoever asks for it again. Its
    environment is in a Secret that goes with the Job. The command's own exit code, written by
    rename, is its outcome; where there is none, the Job's and its pod's conditions say why. A Job
    that its queue (Kueue) takes back and admits again is PENDING meanwhile, and begun anew. While
    the API does not answer, the last known state stands.
    """

    def __init__(self, compute: KubernetesCompute) -> None:
        self.compute = compute
        self._target = Target()
        self._watches: dict[str, JobWatch] = {}
        self._creating: set[Path] = set()

    async def launch(self, spec: LaunchSpec) -> ProcessStatus:
        """Create the Job; see `Launcher.launch`.

        Raises:
            LaunchFailed: also when the API server refuses the Job, or does not answer for long.
        """
        for name, path in (("record folder", spec.folder), ("working directory", spec.cwd)):
            if not path.is_dir():
                raise LaunchFailed(f"{name} '{path}' is not a folder on this host: create it")
        earlier = await self.status(spec.folder)
        if earlier.state is not ProcessState.ABSENT:
            return earlier
        self._creating.add(spec.folder)
        try:
            await self._create(spec)
        except (OSError, ValueError) as error:
            raise LaunchFailed(f"cannot create the Job: {error}") from error
        finally:
            self._creating.discard(spec.folder)
        return await self.status(spec.folder)

    async def _create(self, spec: LaunchSpec) -> None:
        cluster, base = await self._target.of(self.compute)
        intent = read(spec.folder, INTENT, Intent)
        if intent is None:
            named = hashlib.sha256(f"{spec.run_id} {spec.folder}".encode()).hexdigest()[:16]
            name = f"wildloop-{named}-{uuid4().hex[:6]}"
            intent = Intent(name=name, namespace=cluster.namespace, token=uuid4().hex)
        job = job_manifest(self.compute, spec, intent.name, base, intent.namespace)
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        write_text(spec.folder, SCRIPT, script(spec, intent.token))
        (spec.folder / SCRIPT).chmod(0o700)
        write(spec.folder, INTENT, intent)
        deadline = time.monotonic() + SILENT_SECONDS
        while True:
            try:
                uid = str((await cluster.create_job(job))["metadata"]["uid"])
                secret = secret_manifest(spec, intent.name, uid, dict(os.environ))
                await cluster.create_secret(secret)
                break
            except Refused as refusal:
                await self._forget(spec.folder, cluster, intent)
                raise LaunchFailed(f"Kubernetes refused the Job: {refusal}") from refusal
            except Silent as silence:
                if time.monotonic() > deadline:
                    raise LaunchFailed(str(silence)) from silence
                await asyncio.sleep(2.0)
        write(spec.folder, CREATED, Created(uid=uid, created_at=time.time()))

    async def _forget(self, folder: Path, cluster: Cluster, intent: Intent) -> None:
        """Take back a Job whose Secret was refused."""
        with contextlib.suppress(Refused, Silent):
            await cluster.delete_job(intent.name)
        (folder / INTENT).unlink(missing_ok=True)

    async def status(self, folder: Path) -> ProcessStatus:
        """What became of the Job; see `Launcher.status`.

        Raises:
            LaunchFailed: a record is damaged.
        """
        try:
            return await self._status(folder)
        except ValueError as error:
            raise LaunchFailed(str(error)) from error

    async def _status(self, folder: Path) -> ProcessStatus:
        intent = read(folder, INTENT, Intent)
        if intent is None:
            return ProcessStatus(state=ProcessState.ABSENT)
        if (over := _over(folder, intent)) is not None:
            return over
        created = read(folder, CREATED, Created)
        since = created.created_at if created is not None else time.time()
        watch = await self._watch(intent.namespace)
        try:
            view = await watch.look(intent.name, since)
            if view is None and created is not None:
                # A list may be older than what is asked for: only a new one tells that it is gone.
                view = await watch.look(intent.name, time.time())
        except (Silent, Refused) as silence:
            return _alive(folder, intent, None, str(silence))
        if created is None and folder in self._creating:
            return _alive(folder, intent, view, "being created")
        if created is None and (view is None or view.phase is Phase.PENDING):
            # Left half-way: the Job may lack its Secret. Launched again, each is made once.
            return ProcessStatus(state=ProcessState.ABSENT)
        if view is None or view.phase is Phase.OVER:
            return await self._concluded(folder, intent, view)
        return _alive(folder, intent, view, view.reason)

    async def _concluded(self, folder: Path, intent: Intent, view: View | None) -> ProcessStatus:
        """The end of a Job that is over, or gone."""
        if (over := _over(folder, intent)) is not None:
            return over
        start, end = read(folder, START, Start), read(folder, END, End)
        asked = (folder / STOP).exists()
        code = end.exit_code if end is not None else (view.exit_code if view is not None else None)
        reason = view.reason if view is not None else "its Job was deleted"
        if asked:
            reason = None
        elif view is not None and view.is_disrupted:
            code = None
        elif start is None and view is not None and code is not None:
            told = " ".join((await self._said(intent, view)).split())
            reason = (
                reason or f"not begun: its container ended with exit code {code}: {told[-300:]}"
            )
            code = None
        elif end is not None and reason is None:
            reason = "somebody ended its pod"
        ended_at = end.ended_at if end is not None else time.time()
        write(folder, FINAL, Final(exit_code=code, reason=reason, ended_at=ended_at))
        if code is not None:
            write_exit_code(folder, code)
        found = _over(folder, intent)
        assert found is not None
        return found

    async def _said(self, intent: Intent, view: View) -> str:
        cluster, _ = await self._target.of(self.compute, intent.namespace)
        return await cluster.log(view.pod) if view.pod is not None else ""

    async def begun(self, folder: Path) -> ProcessStatus:
        """Wait until the command has begun or ended; see `Launcher.begun`."""
        return await self._while(folder, (ProcessState.PENDING,), None)

    async def ran(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        """Wait while the command runs; see `Launcher.ran`."""
        return await self._while(folder, (ProcessState.RUNNING,), timeout_seconds)

    async def wait(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        """Wait for the end; see `Launcher.wait`."""
        return await self._while(folder, _GOING_ON, timeout_seconds)

    async def _while(
        self, folder: Path, states: tuple[ProcessState, ...], seconds: float | None
    ) -> ProcessStatus:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                status = await self.status(folder)
                while status.state in states:
                    await asyncio.sleep(LOOK_SECONDS)
                    status = await self.status(folder)
                return status
        return await self.status(folder)

    async def stop(self, folder: Path, grace_seconds: float = 5.0) -> ProcessStatus:
        """Delete the Job; see `Launcher.stop`.

        Its pod has the grace of the compute block. One whose node does not answer is waited for
        some minutes: Kubernetes confirms its end when the node is back or is removed.
        """
        try:
            intent = read(folder, INTENT, Intent)
            if intent is None or _over(folder, intent) is not None:
                return await self.status(folder)
            await asyncio.to_thread(write_text, folder, STOP, f"{grace_seconds:g}\n")
        except ValueError as error:
            raise LaunchFailed(str(error)) from error
        watch = await self._watch(intent.namespace)
        deadline = time.monotonic() + self.compute.grace_seconds + TERMINATING_SECONDS
        while True:
            try:
                cluster, _ = await self._target.of(self.compute, intent.namespace)
                await cluster.delete_job(intent.name)
                alive = await watch.pods_alive(intent.name)
                if not alive or time.monotonic() > deadline:
                    break
            except (Silent, Refused) as silence:
                logger.warning("the Job of '%s' is not deleted yet: %s", folder, silence)
            await asyncio.sleep(LOOK_SECONDS)
        if alive:
            logger.warning("the pod of '%s' is still terminating", folder)
        return await self._concluded(folder, intent, None)

    async def _watch(self, namespace: str) -> JobWatch:
        cluster, _ = await self._target.of(self.compute, namespace)
        watch = self._watches.get(namespace)
        if watch is None or watch.cluster is not cluster:
            watch = self._watches[namespace] = JobWatch(cluster)
        return watch


def _over(folder: Path, intent: Intent) -> ProcessStatus | None:
    """The end of a launch, where it is on record."""
    code, final = read_exit_code(folder), read(folder, FINAL, Final)
    if code is None and final is None:
        return None
    if code is not None:
        why = final.reason if final is not None else None
        fields = {"state": ProcessState.EXITED, "exit_code": code[0], "ended_at": code[1]}
        return ProcessStatus(**fields, reason=why, **_about(folder, intent))
    assert final is not None
    fields = {"state": ProcessState.LOST, "ended_at": final.ended_at}
    return ProcessStatus(**fields, reason=final.reason, **_about(folder, intent))


def _alive(folder: Path, intent: Intent, view: View | None, reason: str | None) -> ProcessStatus:
    start = read(folder, START, Start)
    runs = start is not None and (view is None or view.pod == start.pod)
    is_back = view is not None and view.phase is Phase.PENDING
    if runs and not is_back:
        return ProcessStatus(state=ProcessState.RUNNING, reason=reason, **_about(folder, intent))
    why = reason or "its command is being started"
    return ProcessStatus(state=ProcessState.PENDING, reason=why, job_id=intent.name)


def _about(folder: Path, intent: Intent) -> dict[str, Any]:
    start = read(folder, START, Start)
    if start is None:
        return {"job_id": intent.name}
    devices = tuple(one for one in start.devices.split(",") if one not in ("", "void", "none"))
    return {
        "job_id": intent.name,
        "started_at": start.started_at,
        "host": start.host,
        "devices": devices,
        "restarts": start.restart,
    }
