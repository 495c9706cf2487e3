"""Commands on this host, each a detached session that survives whoever launched it."""

import asyncio
import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

from wildloop.blocks.launchers import processes
from wildloop.blocks.launchers.base import (
    Launcher,
    LaunchFailed,
    LaunchSpec,
    ProcessState,
    ProcessStatus,
)
from wildloop.blocks.launchers.memory import peak_followed
from wildloop.blocks.launchers.record import (
    EXIT_CODE,
    RECORD,
    ProcessRecord,
    open_to_append,
    read_exit_code,
    read_left,
    read_record,
    write_exit_code,
    write_peak_memory,
)

logger = logging.getLogger(__name__)

RECORD_SECONDS = 10.0
FIRST_POLL_SECONDS = 0.005
POLL_SECONDS = 0.05
SLOW_POLL_SECONDS = 1.0
WRAPPER_SECONDS = 1.0
WARN_SECONDS = 10.0

# The wrapper leads its own session. It records itself before the command starts, so that a killed
# launcher leaves no unrecorded process; the hard link makes the claim of the folder atomic. The
# launcher hears of it by the pipe, at the moment from which a signal ends the command. The wrapper
# handles signals rather than ignoring them, since the command would inherit the latter, but at the
# end it ignores them, or a stop that comes then would end `mv`; on a full disk it waits for room,
# for an hour at most. Orphans of the command become its children (see `adopt_orphans`): it notes
# those that are left, which nothing else tells where they have cleared their environment and left
# the session. Its own notices ("Killed") stay out of the log.
WRAPPER = r"""
trap : TERM INT HUP
folder=$1 command=$2 marker=$3 boot=$4 host=$5 pipe=$6 kills=$7
now=${EPOCHREALTIME:-$(date +%s)}
now=${now/,/.}
if [ -n "$boot" ]; then
  read -r stat < "/proc/$$/stat"
  set -- ${stat##*) }
  start=${20}
else
  start=$now
fi
printf '{"pid": %s, "start": %s, "boot": "%s", "host": "%s", "marker": "%s", "started_at": %s}\n' \
  "$$" "$start" "$boot" "$host" "$marker" "$now" > "$folder/process.json.$$" || exit 126
PATH="$PATH:/usr/bin:/bin" ln "$folder/process.json.$$" "$folder/process.json" 2>/dev/null || {
  [ -e "$folder/process.json" ] && exit 125
  PATH="$PATH:/usr/bin:/bin" mv "$folder/process.json.$$" "$folder/process.json" || exit 126
}
log=9; [ "$pipe" = 9 ] && log=8
eval "exec $log>&2 2>/dev/null"
(
  trap '' PIPE
  trap - TERM INT HUP
  printf . >&"$pipe"
  trap - PIPE
  eval "exec 2>&$log $log>&- $pipe>&-"
  exec "$BASH" -c -- "$command"
)
code=$?
trap '' TERM INT HUP
if [ "$code" = 137 ] && [ -n "$kills" ]; then
  while read -r name value; do
    [ "$name" = oom_kill ] && printf '%s\n' $((value - kills)) > "$folder/oom_kills"
  done 2>/dev/null < /proc/vmstat
fi
if [ -n "$boot" ]; then
  read -r -a left 2>/dev/null < "/proc/$$/task/$$/children"
  for child in "${left[@]}"; do
    read -r stat 2>/dev/null < "/proc/$child/stat" || continue
    set -- ${stat##*) }
    printf '%s %s\n' "$child" "${20}"
  done > "$folder/left"
  [ -s "$folder/left" ] || PATH="$PATH:/usr/bin:/bin" rm -f "$folder/left"
fi
times > "$folder/cpu_times"
for attempt in {1..3600}; do
  printf '%s\n' "$code" > "$folder/exit_code.tmp" &&
  PATH="$PATH:/usr/bin:/bin" mv -f "$folder/exit_code.tmp" "$folder/exit_code" && break
  [ -d "$folder" ] || break
  PATH="$PATH:/usr/bin:/bin" sleep 1
done
exit "$code"
"""


class LocalLauncher(Launcher):
    """Launches on this host. Its state lies in the record folders, but for what a child told.

    A command may write whatever it likes into its folder. How a wrapper ended that this process
    has started is known from the kernel, and stands above any file.
    """

    def __init__(self) -> None:
        self._told: dict[Path, int] = {}

    async def launch(self, spec: LaunchSpec) -> ProcessStatus:
        """Start the command; see `Launcher.launch`."""
        self._told.pop(spec.folder, None)
        launching = asyncio.ensure_future(asyncio.to_thread(_launch, spec))
        try:
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            # Left half-way, the command would start unseen: nobody could stop it.
            await asyncio.wait({launching})
            if not launching.cancelled() and (error := launching.exception()) is not None:
                logger.info("cancelled launch in '%s' failed: %s", spec.folder, error)
            raise

    async def status(self, folder: Path) -> ProcessStatus:
        """What became of the command; see `Launcher.status`."""
        return self._status(folder)

    async def wait(self, folder: Path, timeout_seconds: float | None = None) -> ProcessStatus:
        """Wait for the end; see `Launcher.wait`."""
        record = _record(folder)
        if record is not None:
            self._status(folder)
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds), peak_followed(folder, record.pid):
                    self._note(folder, await _wrapper_end(record))
        return self._status(folder)

    async def stop(self, folder: Path, grace_seconds: float = 5.0) -> ProcessStatus:
        """End the whole tree; see `Launcher.stop`."""
        record = _record(folder)
        if record is None:
            return self._status(folder)
        self._status(folder)
        await _end_tree(record, grace_seconds, folder)
        self._note(folder, processes.reap(record))
        status = self._status(folder)
        # Nobody is left who could write another one.
        if status.exit_code is not None and status.state is ProcessState.EXITED:
            write_exit_code(folder, status.exit_code)
        elif status.state is ProcessState.LOST:
            (folder / EXIT_CODE).unlink(missing_ok=True)
        return status

    def _note(self, folder: Path, collected: processes.Collected | None) -> None:
        """Keep what the kernel has told of the wrapper, which it tells once."""
        if collected is None:
            return
        self._told[folder] = collected.status
        if collected.peak_memory is not None:
            write_peak_memory(folder, collected.peak_memory)

    def _status(self, folder: Path) -> ProcessStatus:
        found, told = _status(folder), self._told.get(folder)
        if told is None or found.state is ProcessState.ABSENT or found.exit_code == told:
            return found
        # A wrapper that was killed has written nothing.
        is_lost = told < 0
        return found.model_copy(
            update={
                "state": ProcessState.LOST if is_lost else ProcessState.EXITED,
                "exit_code": None if is_lost else told,
                "ended_at": found.ended_at or time.time(),
            }
        )


def _launch(spec: LaunchSpec) -> ProcessStatus:
    """Blocks for some milliseconds, until the wrapper has recorded itself."""
    earlier = _status(spec.folder)
    if earlier.state is not ProcessState.ABSENT:
        return earlier
    for name, path in (("record folder", spec.folder), ("working directory", spec.cwd)):
        if not path.is_dir():
            raise LaunchFailed(
                f"{name} '{path}' is not a folder on {socket.gethostname()}: create it"
            )
    try:
        spec.log.parent.mkdir(parents=True, exist_ok=True)
        pid = _spawn(spec)
        record = read_record(spec.folder)
    except (OSError, ValueError) as error:
        raise LaunchFailed(f"cannot start the command: {error}") from error
    (spec.folder / f"{RECORD}.{pid}").unlink(missing_ok=True)
    if record is None:
        raise LaunchFailed(
            f"the command's wrapper could not record itself in '{spec.folder}': "
            f"see '{spec.stderr or spec.log}'; is the folder writable and the disk not full?"
        )
    return _status(spec.folder)


def _spawn(spec: LaunchSpec) -> int:
    """Start the wrapper and wait until it is recorded or has given up; return its pid."""
    bash = shutil.which("bash") or shutil.which("bash", path="/usr/local/bin:/usr/bin:/bin")
    if bash is None:
        raise LaunchFailed("bash is not on PATH: install it, commands are run by bash")
    marker = uuid4().hex
    reading, writing = os.pipe()
    try:
        with (
            (spec.stdin or Path(os.devnull)).open("rb") as stdin,
            os.fdopen(open_to_append(spec.log), "ab", buffering=0) as log,
            os.fdopen(open_to_append(spec.stderr or spec.log), "ab", buffering=0) as stderr,
        ):
            arguments = [str(spec.folder.absolute()), spec.command, marker]
            kills = processes.oom_kills()
            arguments += [processes.boot_id(), socket.gethostname(), str(writing)]
            arguments += ["" if kills is None else str(kills)]
            wrapper = subprocess.Popen(
                # -p: BASH_ENV and the like are for the command, not for the wrapper.
                [bash, "-p", "-c", WRAPPER, "wildloop", *arguments],
                cwd=spec.cwd,
                env={**spec.env, processes.MARKER: marker},
                stdin=stdin,
                stdout=log,
                stderr=stderr,
                start_new_session=True,
                pass_fds=(writing,),
                # No more than a system call.
                preexec_fn=processes.adopt_orphans,
            )
        os.close(writing)
        writing = -1
        notice = select.poll()
        notice.register(reading, select.POLLIN)
        notice.poll(RECORD_SECONDS * 1000)
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)
    _settle(wrapper, spec.folder)
    return wrapper.pid


def _settle(wrapper: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Collect a wrapper that gave up or came second; leave one that is at work to who waits."""
    record = _record(folder)
    if record is None or record.pid != wrapper.pid:
        try:
            wrapper.wait(WRAPPER_SECONDS)
        except subprocess.TimeoutExpired:
            wrapper.kill()
            wrapper.wait()
    else:
        # Whoever waits collects the child, perhaps by another launcher object. subprocess would
        # do so too, by a number that may be another process's by then: make it forget.
        wrapper.returncode = 0


def _record(folder: Path) -> ProcessRecord | None:
    try:
        return read_record(folder)
    except ValueError as error:
        logger.warning("%s: its command counts as lost", error)
        return None


def _status(folder: Path) -> ProcessStatus:
    record, damaged = None, False
    try:
        record = read_record(folder)
    except ValueError:
        damaged = True
    # Liveness is read before the exit code: the other way round, an end in between would look
    # like a loss.
    alive = record is not None and processes.is_alive(record)
    known = {"pid": record.pid, "started_at": record.started_at} if record else {}
    if not alive and (end := read_exit_code(folder)) is not None:
        code, ended_at = end
        return ProcessStatus(state=ProcessState.EXITED, exit_code=code, ended_at=ended_at, **known)
    if alive:
        return ProcessStatus(state=ProcessState.RUNNING, **known)
    if record is None and not damaged:
        return ProcessStatus(state=ProcessState.ABSENT)
    if record is not None and _is_elsewhere(record):
        raise LaunchFailed(
            f"the command in '{folder}' was launched on host '{record.host}' and has left no "
            f"{EXIT_CODE} yet: only that host can tell whether it runs"
        )
    return ProcessStatus(state=ProcessState.LOST, **known)


def _is_elsewhere(record: ProcessRecord) -> bool:
    return record.boot != processes.boot_id() and record.host != socket.gethostname()


async def _wrapper_end(record: ProcessRecord) -> processes.Collected | None:
    """Return when the wrapper has ended: at once on Linux, by a short poll elsewhere.

    Returns:
        What the kernel tells of it if it was a child of this process; see `processes.reap`.
    """
    pause = FIRST_POLL_SECONDS
    while processes.is_alive(record):
        if not await _exit_notice(record):
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_SECONDS)
    return processes.reap(record)


async def _exit_notice(record: ProcessRecord) -> bool:
    """Wait for the kernel's notice of the wrapper's end; False where it gives none."""
    try:
        descriptor = os.pidfd_open(record.pid)
    except (AttributeError, OSError):
        return False
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        # Read again, now that the descriptor pins the process: the number may have been reused.
        if processes.is_alive(record):
            loop.add_reader(descriptor, ended.set)
            try:
                await ended.wait()
            finally:
                loop.remove_reader(descriptor)
    finally:
        os.close(descriptor)
    return True


async def _end_tree(record: ProcessRecord, grace_seconds: float, folder: Path) -> None:
    began, pause = time.monotonic(), FIRST_POLL_SECONDS
    warned: set[int] = set()
    denied: set[int] = set()
    living = await asyncio.to_thread(processes.members, record, read_left(folder))
    if living:
        _terminate(record, living)
    while living:
        late = time.monotonic() - began - grace_seconds
        if late > 0:
            denied |= _kill(record, living, with_wrapper=late > WRAPPER_SECONDS)
        if late > WARN_SECONDS and (stuck := {one.pid for one in living} - warned):
            warned |= stuck
            pause = SLOW_POLL_SECONDS
            logger.warning("processes %s do not end after KILL", sorted(stuck))
        await asyncio.sleep(max(FIRST_POLL_SECONDS, min(pause, -late)) if late < 0 else pause)
        pause = max(pause, min(pause * 1.5, POLL_SECONDS))
        living = await asyncio.to_thread(processes.members, record, read_left(folder))
        living = [one for one in living if one.pid not in denied]
    if denied:
        logger.warning("processes %s belong to another user: they were left alive", sorted(denied))


def _terminate(record: ProcessRecord, living: Iterable[psutil.Process]) -> None:
    """TERM to the group as one, then to those that have left it; stopped ones are woken."""
    led = processes.is_alive(record)
    for process in living:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
            if not led or os.getpgid(process.pid) != record.pid:
                process.terminate()
    if led:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(record.pid, signal.SIGTERM)
    for process in living:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(signal.SIGCONT)


def _kill(record: ProcessRecord, living: Iterable[psutil.Process], with_wrapper: bool) -> set[int]:
    """KILL; the wrapper last, since it writes the exit code. Returns whom we may not signal."""
    denied = set()
    for process in living:
        if process.pid == record.pid and not with_wrapper:
            continue
        try:
            process.kill()
        except psutil.AccessDenied:
            denied.add(process.pid)
        except psutil.NoSuchProcess:
            continue
    return denied
