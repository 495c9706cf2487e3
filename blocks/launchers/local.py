"""Commands on this host, each a detached session that survives whoever launched it."""

import asyncio
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ValidationError

from blocks.launchers.base import (
    Launcher,
    LaunchFailed,
    LaunchSpec,
    ProcessState,
    ProcessStatus,
)

MARKER = "WILDLOOP_LAUNCH_ID"
RECORD = "process.json"
EXIT_CODE = "exit_code"
RECORD_SECONDS = 10.0
KILL_SECONDS = 5.0
START_TOLERANCE_S = 2.0

# The wrapper leads its own session, records itself before the command starts (no window in which
# a killed launcher leaves an unrecorded process), and renames the exit code into place. It traps
# signals with a handler, not with '', so that the command gets default dispositions.
WRAPPER = r"""
printf '{"pid": %s, "marker": "%s"}\n' "$$" "$3" > "$1/process.tmp" &&
mv -f "$1/process.tmp" "$1/process.json" || exit 126
trap : TERM INT HUP
bash -c "$2"
code=$?
printf '%s\n' "$code" > "$1/exit_code.tmp" && mv -f "$1/exit_code.tmp" "$1/exit_code"
"""


class ProcessRecord(BaseModel):
    """process.json: written by the wrapper itself, completed by nobody."""

    pid: int
    marker: str


class LocalLauncher(Launcher):
    """Launches on this host."""

    async def launch(self, spec: LaunchSpec) -> ProcessStatus:
        """Start the command; see `Launcher.launch`."""
        earlier = await self.status(spec.folder)
        if earlier.state is not ProcessState.ABSENT:
            return earlier
        if not spec.cwd.is_dir():
            raise LaunchFailed(f"working directory '{spec.cwd}' does not exist")
        try:
            spec.folder.mkdir(parents=True, exist_ok=True)
            process = _spawn(spec)
        except OSError as error:
            raise LaunchFailed(f"cannot start the command: {error}") from error
        deadline = time.monotonic() + RECORD_SECONDS
        while not (spec.folder / RECORD).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LaunchFailed(
                    f"the command's wrapper did not start (exit code {process.poll()}); "
                    f"is '{spec.folder}' writable and not full?"
                )
            await asyncio.sleep(0.001)
        return await self.status(spec.folder)

    async def status(self, folder: Path) -> ProcessStatus:
        """What became of the command; see `Launcher.status`."""
        record = _record(folder)
        # Liveness is read before the exit code: the other way round, an end in between would
        # look like a loss.
        process = _process(record, folder) if record else None
        code = _exit_code(folder)
        started = (folder / RECORD).stat().st_mtime if record else None
        pid = record.pid if record else None
        if code is not None:
            return ProcessStatus(
                state=ProcessState.EXITED, exit_code=code, pid=pid, started_at=started
            )
        if record is None:
            return ProcessStatus(state=ProcessState.ABSENT)
        state = ProcessState.RUNNING if process else ProcessState.LOST
        return ProcessStatus(state=state, pid=pid, started_at=started)

    async def wait(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        """Wait for the end; see `Launcher.wait`."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while (status := await self.status(folder)).state is ProcessState.RUNNING:
                    assert status.pid is not None
                    await _process_end(status.pid)
                return status
        except TimeoutError:
            return await self.status(folder)

    async def stop(self, folder: Path, grace_seconds: float = 5.0) -> ProcessStatus:
        """End the whole tree; see `Launcher.stop`."""
        record = _record(folder)
        if record is None:
            return await self.status(folder)
        for number, seconds in (
            (signal.SIGTERM, grace_seconds),
            (signal.SIGKILL, KILL_SECONDS),
        ):
            members = await asyncio.to_thread(_tree, record, folder)
            # The wrapper goes last: it writes the exit code once its command is gone.
            targets = [one for one in members if one.pid != record.pid] or members
            for process in targets:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not await asyncio.to_thread(_tree, record, folder):
                    return await self.status(folder)
                await asyncio.sleep(0.03)
        for process in await asyncio.to_thread(_tree, record, folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        return await self.status(folder)


def _spawn(spec: LaunchSpec) -> "subprocess.Popen[bytes]":
    env = spec.env | {MARKER: str(spec.folder)}
    source = spec.stdin or Path(os.devnull)
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as stdin, spec.log.open("ab", buffering=0) as log:
        stderr = spec.stderr.open("ab", buffering=0) if spec.stderr else None
        try:
            return subprocess.Popen(
                ["bash", "-c", WRAPPER, "wildloop", spec.folder, spec.command, spec.folder.name],
                cwd=spec.cwd,
                env=env,
                stdin=stdin,
                stdout=log,
                stderr=stderr or subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            if stderr is not None:
                stderr.close()


def _record(folder: Path) -> ProcessRecord | None:
    try:
        return ProcessRecord.model_validate_json((folder / RECORD).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _exit_code(folder: Path) -> int | None:
    try:
        return int((folder / EXIT_CODE).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return None


def _process(record: ProcessRecord, folder: Path) -> psutil.Process | None:
    """The wrapper, if it lives: same pid, started when its record was written, same marker."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(record.pid)
        written = (folder / RECORD).stat().st_mtime
        if process.status() == psutil.STATUS_ZOMBIE:
            _reap(record.pid)
            return None
        if process.create_time() <= written + START_TOLERANCE_S and _marked(process, folder):
            return process
    return None


def _marked(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.environ().get(MARKER) == str(folder)
    except (psutil.AccessDenied, psutil.NoSuchProcess, OSError):
        return False


def _tree(record: ProcessRecord, folder: Path) -> list[psutil.Process]:
    """Every live process of the launch: its session, and those that left it but bear the marker."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            if process.status() == psutil.STATUS_ZOMBIE:
                if process.ppid() == os.getpid():
                    _reap(process.pid)
                continue
            if _marked(process, folder):
                found.append(process)
    return found


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


async def _process_end(pid: int) -> None:
    """Return when the process has ended: at once on Linux, by a short poll elsewhere."""
    loop = asyncio.get_running_loop()
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        await asyncio.sleep(0.05)
        return
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    _reap(pid)
