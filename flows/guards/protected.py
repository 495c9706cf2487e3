"""Protected files: found changed, put back, and told."""

import os
import stat
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from uuid import uuid4

from wildloop.flows.files.paths import make_ignored
from wildloop.flows.guards import places
from wildloop.flows.guards.baseline import Baseline, ProtectedFile
from wildloop.flows.guards.patterns import TooManyFiles, matching

# Two writes within a tick of the file system's clock leave the same time.
CLOCK_TICK_NS = 2_000_000_000
What = Literal["changed", "deleted", "added", "touched"]
Stamp = tuple[int, int, int, int]


@dataclass(frozen=True)
class Violation:
    """A protected file that was not as it has to be; `at` is when that was found (Unix seconds).

    `touched`: written to, with the same content in the end. `fault` says why it could not be put
    back.
    """

    path: str
    what: What
    at: float
    fault: str | None = None

    @property
    def text(self) -> str:
        """For agent and user."""
        if self.what == "touched":
            return f"protected file '{self.path}' was written to (its content is the same again)"
        if self.fault is not None:
            return f"protected file '{self.path}' was {self.what} and stays so: {self.fault}"
        done = "moved out of the project" if self.what == "added" else "put back as it was"
        return f"protected file '{self.path}' was {self.what}; it has been {done}"


@dataclass
class ProtectedFiles:
    """Watches the files of a baseline. May be used by several threads.

    Args:
        baseline: the files as they have to be.
        copies: folder with their private copies.
        aside: folder for what is put in their place; nothing is thrown away.
    """

    baseline: Baseline
    copies: Path
    aside: Path
    violations: list[Violation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._root = Path(self.baseline.root)
        self._seen: dict[str, Stamp] = {}
        self._lock = threading.Lock()

    def elsewhere(self, root: Path) -> "ProtectedFiles":
        """The same files in another checkout of the project."""
        baseline = self.baseline.model_copy(update={"root": str(root)})
        return ProtectedFiles(baseline, self.copies, self.aside)

    def enforce(self) -> list[Violation]:
        """Put back what was changed, and return it. Blocks.

        A file whose state is as it was at the last look is not read again.
        """
        with self._lock:
            if not self._root.is_dir():
                return []
            found = [bad for file in self.baseline.files if (bad := self._settle(file))]
            found += self._settle_added()
            self.violations += found
            return found

    def since(self, moment: float) -> list[Violation]:
        """What was found from `moment` on, each file once."""
        found = {bad.path: bad for bad in list(self.violations) if bad.at >= moment}
        return list(found.values())

    def differing(self, folder: Path) -> list[str]:
        """The protected files that differ in `folder`, another checkout of the project.

        Of files that are there, the content is compared. Raises OSError where one cannot be read.
        """
        found = []
        for file in self.baseline.files:
            state = places.look(folder, file.path)
            if file.kind == "link" or file.sha256 is None or state is None:
                continue
            if state.st_size != file.size or places.digest(folder, file.path)[0] != file.sha256:
                found.append(file.path)
        return found

    def _settle(self, file: ProtectedFile) -> Violation | None:
        state = places.look(self._root, file.path)
        if state is not None and self._seen.get(file.path) == _stamp(state):
            return None
        what = "deleted" if state is None else self._difference(file, state)
        fault = None
        if what in ("changed", "deleted"):
            try:
                self._put_back(file)
            except (OSError, ValueError) as error:
                fault = str(error)
        elif what == "touched":
            with suppress(OSError):
                self._reset_time(file)
        self._remember(file)
        return Violation(file.path, what, time.time(), fault) if what else None

    def _difference(
        self, file: ProtectedFile, state: os.stat_result
    ) -> Literal["changed", "touched"] | None:
        root = self._root
        if file.kind == "link":
            is_link = stat.S_ISLNK(state.st_mode)
            is_same = is_link and places.link_target(root, file.path) == file.target
            return None if is_same else "changed"
        if not stat.S_ISREG(state.st_mode) or stat.S_IMODE(state.st_mode) != file.mode:
            return "changed"
        if state.st_size != file.size:
            return "changed"
        if file.sha256 is None:
            return None if state.st_mtime_ns == file.mtime_ns else "changed"
        try:
            value, _ = places.digest(root, file.path)
        except OSError:
            return "changed"
        if value != file.sha256:
            return "changed"
        return None if state.st_mtime_ns == file.mtime_ns else "touched"

    def _remember(self, file: ProtectedFile) -> None:
        """Note the state of a file that is in order, unless it is too fresh to be told apart."""
        state = places.look(self._root, file.path)
        self._seen.pop(file.path, None)
        if state is not None and time.time_ns() - state.st_ctime_ns > CLOCK_TICK_NS:
            self._seen[file.path] = _stamp(state)

    def _put_back(self, file: ProtectedFile) -> None:
        """Restore one file.

        Raises:
            OSError, ValueError: it cannot be done.
        """
        make_ignored(self.aside)
        with places.parent(self._root, file.path, self.aside) as (folder, last):
            draft = f".{uuid4().hex}.wildloop"
            try:
                if file.kind == "link":
                    os.symlink(file.target or "", draft, dir_fd=folder)
                else:
                    self._write(file, folder, draft)
                self._keep(folder, last)
                os.rename(draft, last, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(draft, dir_fd=folder)
                raise

    def _write(self, file: ProtectedFile, folder: int, draft: str) -> None:
        copy = self.copies / (file.sha256 or "-")
        if file.sha256 is None or not copy.is_file():
            raise ValueError("there is no copy of it: put it back by hand")
        value, _ = places.digest(self.copies, copy.name)
        if value != file.sha256:
            raise ValueError("the copy of it is damaged: put it back by hand")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(draft, flags, 0o600, dir_fd=folder), "wb") as out:
            with copy.open("rb") as source:
                while chunk := source.read(places.CHUNK_BYTES):
                    out.write(chunk)
            out.flush()
            os.fchmod(out.fileno(), file.mode)
            os.utime(out.fileno(), ns=(file.mtime_ns, file.mtime_ns))

    def _keep(self, folder: int, last: str) -> None:
        """Keep what stands where a file is put back: it may be somebody's work."""
        try:
            state = os.stat(last, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISREG(state.st_mode):
            # A second name rather than a move: the place is never empty.
            with suppress(OSError):
                os.link(
                    last, self.aside / f"{uuid4().hex[:8]}-{last}", src_dir_fd=folder,
                    follow_symlinks=False,
                )  # fmt: skip
        else:
            places.move_aside(folder, last, self.aside)

    def _reset_time(self, file: ProtectedFile) -> None:
        with places.parent(self._root, file.path) as (folder, last):
            times = (file.mtime_ns, file.mtime_ns)
            os.utime(last, ns=times, dir_fd=folder, follow_symlinks=False)

    def _settle_added(self) -> list[Violation]:
        known = {file.path for file in self.baseline.files}
        found: list[Violation] = []
        try:
            names = matching(self._root, self.baseline.patterns)
        except TooManyFiles as error:
            shown = ", ".join(self.baseline.patterns)
            return [Violation(shown, "added", time.time(), f"{error}; remove the new ones")]
        for name in names:
            if name in known:
                continue
            fault = None
            try:
                make_ignored(self.aside)
                with places.parent(self._root, name) as (folder, last):
                    places.move_aside(folder, last, self.aside)
            except OSError as error:
                fault = str(error)
            shown = name.encode("utf-8", "backslashreplace").decode()
            found.append(Violation(shown, "added", time.time(), fault))
        return found


def _stamp(state: os.stat_result) -> Stamp:
    return state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
