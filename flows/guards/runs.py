"""A run of a session measures with the protected files as they were, or does not count."""

import asyncio
import time
from pathlib import Path

from wildloop.flows.errors import WildloopError
from wildloop.flows.guards.protected import ProtectedFiles, Violation
from wildloop.flows.guards.stamps import Watch, changed_after


class ProtectedChanged(WildloopError):
    """A run cannot start: a protected file differs and cannot be put back."""

    status_code = 409


class RunGuard:
    """Looks at the protected files when a run starts, while it goes on, and when it has ended.

    Args:
        files: of the run's session; None where nothing is protected.
    """

    def __init__(self, files: ProtectedFiles | None) -> None:
        self._files = files
        self._watch: Watch | None = None
        self.restored: list[str] = []

    async def before_launch(self, cwd: Path, in_checkout: bool) -> None:
        """Put changed files back, so that an edit made for the length of a run gains nothing.

        Raises:
            ProtectedChanged: one cannot be put back, or the checked-out commit has another.
        """
        if self._files is None:
            return
        if in_checkout:
            differing = await asyncio.to_thread(self._files.differing, cwd)
            if differing:
                raise ProtectedChanged(
                    f"the commit has another '{differing[0]}' than the session, which protects it: "
                    "run the commit outside of the session"
                )
            return
        found = await asyncio.to_thread(self._files.enforce)
        for bad in found:
            if bad.fault is not None:
                raise ProtectedChanged(bad.text)
        self.restored = [bad.path for bad in found if bad.what != "touched"]

    async def watch(self, cwd: Path, run_dir: Path) -> None:
        """Look on from now, the moment before the launch, until `changed_since` or `let_go`."""
        if self._files is None:
            return
        root = Path(self._files.baseline.root)
        names = [file.path for file in self._files.baseline.files]
        self._watch = await asyncio.to_thread(Watch, cwd, root, names, run_dir)
        self._watch.start()

    async def let_go(self) -> None:
        """Look no more: the run waits for a scheduler, or is another worker's from now on."""
        if self._watch is not None:
            await self._watch.stop()
            self._watch = None

    def outside(self, workdir: Path) -> str | None:
        """Why the protected files do not stand behind a run that works in `workdir`, if so."""
        if self._files is None:
            return None
        root = Path(self._files.baseline.root).resolve()
        if workdir.resolve().is_relative_to(root):
            return None
        return f"it ran in '{workdir}', outside of the project whose files are protected"

    async def changed_since(self, started_at: float | None, cwd: Path | None) -> list[Violation]:
        """What happened to protected files since the run began, until now.

        Files count that were exchanged and put back, also with their old time.

        Args:
            started_at: when the run began (Unix seconds).
            cwd: the folder that it worked in, looked at by the time of its files' last change
                where no watch was kept; None where that is not known.
        """
        if self._files is None:
            return []
        began = started_at if started_at is not None else time.time()
        watch, self._watch = self._watch, None
        if watch is not None:
            exchanged = await watch.ended()
        else:
            names = [file.path for file in self._files.baseline.files]
            exchanged = await asyncio.to_thread(changed_after, cwd, names, began) if cwd else []
        await asyncio.to_thread(self._files.enforce)
        found = {bad.path: bad for bad in self._files.since(began)}
        now = time.time()
        return [
            *found.values(),
            *(Violation(name, "touched", now) for name in exchanged if name not in found),
        ]


def verdict(violations: list[Violation]) -> str:
    """Why the result of a run does not count."""
    names = ", ".join(sorted(f"'{bad.path}'" for bad in violations))
    return (
        f"protected files were written to while it ran ({names}): its result does not count; "
        "rerun it"
    )
