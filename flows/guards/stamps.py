"""Whether protected files were exchanged while a run went on, even if all looks the same again."""

import asyncio
import os
import stat
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from wildloop.blocks.launchers.processes import members
from wildloop.blocks.launchers.record import read_record
from wildloop.flows.guards import places

LOOK_SECONDS = 0.25
# Looking takes at most this share of the time.
SHARE = 0.05


class Stamp(NamedTuple):
    """What tells a file from another in its place: no program can set the time of its change."""

    device: int
    inode: int
    is_folder: bool
    mtime_ns: int
    ctime_ns: int

    def is_same(self, later: "Stamp | None") -> bool:
        """Whether it has stayed as it was.

        A folder's times change as well with what is put into it; where its content is as old as
        before and only its change is newer, it was moved away and back.
        """
        if later is None or later[:3] != self[:3]:
            return False
        if self.is_folder:
            return later.mtime_ns != self.mtime_ns or later.ctime_ns == self.ctime_ns
        return later[3:] == self[3:]


class Watch:
    """Looks at protected files from outside while a run goes on.

    Args:
        folder: where the run works; files that are not there, or behind a link, are looked at in
            `root`.
        root: the project.
        names: the protected files.
        run_dir: record folder of the launch, by which its processes are known.
    """

    def __init__(self, folder: Path, root: Path, names: Iterable[str], run_dir: Path) -> None:
        self._run_dir = run_dir
        self._places: dict[Path, tuple[Path, str]] = {}
        for name in names:
            base = folder if places.look(folder, name) is not None else root
            for one in (name, *map(str, PurePosixPath(name).parents)):
                if one != ".":
                    self._places[base / one] = (base, one)
        self._before = self._stamps()
        self._found: set[str] = set()
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look on, until `ended`."""
        self._looking = asyncio.create_task(self._look_on())

    async def ended(self) -> list[str]:
        """Look a last time; the files that were another in between, by name."""
        await self.stop()
        await asyncio.to_thread(self._look)
        return sorted(self._found)

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
            self._looking = None

    async def _look_on(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.to_thread(self._look)
            spent = time.monotonic() - began
            await asyncio.sleep(max(LOOK_SECONDS, spent / SHARE))

    def _look(self) -> None:
        now = self._stamps()
        for path, stamp in self._before.items():
            if not stamp.is_same(now.get(path)):
                self._found.add(self._places[path][1])
        self._found |= set(self._hidden(now))

    def _stamps(self) -> dict[Path, Stamp]:
        found = {}
        for path, (base, name) in self._places.items():
            state = places.look(base, name)
            if state is not None:
                found[path] = _stamp(state)
        return found

    def _hidden(self, now: Mapping[Path, Stamp]) -> Iterable[str]:
        """Files that processes of the run see another in place of, by mounts of their own."""
        for pid in _in_other_mounts(self._run_dir):
            for path, stamp in now.items():
                with suppress(OSError):
                    seen = _stamp(Path(f"/proc/{pid}/root{path}").lstat())
                    if seen[:2] != stamp[:2]:
                        yield self._places[path][1]


def changed_after(folder: Path, names: Iterable[str], moment: float) -> list[str]:
    """The files whose state has changed since `moment` (Unix seconds), whatever their times say."""
    states = {name: places.look(folder, name) for name in names}
    return [name for name, state in states.items() if state and state.st_ctime_ns > moment * 1e9]


def _stamp(state: os.stat_result) -> Stamp:
    is_folder = stat.S_ISDIR(state.st_mode)
    return Stamp(state.st_dev, state.st_ino, is_folder, state.st_mtime_ns, state.st_ctime_ns)


def _in_other_mounts(run_dir: Path) -> list[int]:
    """The run's processes in a mount namespace that is not ours; none where there are none."""
    try:
        own, record = Path("/proc/self/ns/mnt").readlink(), read_record(run_dir)
    except (OSError, ValueError):
        return []
    found = []
    for process in members(record) if record is not None else []:
        with suppress(OSError):
            if Path(f"/proc/{process.pid}/ns/mnt").readlink() != own:
                found.append(process.pid)
    return found
