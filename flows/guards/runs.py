"""A run of a session measures with the protected files as they were, or does not count."""

import asyncio
import time
from pathlib import Path

from flows.errors import WildloopError
from flows.guards.protected import ProtectedFiles, Violation


class ProtectedChanged(WildloopError):
    """A run cannot start: a protected file differs and cannot be put back."""

    status_code = 409


class RunGuard:
    """Looks at the protected files when a run starts and when it has ended.

    Args:
        files: of the run's session; None where nothing is protected.
    """

    def __init__(self, files: ProtectedFiles | None) -> None:
        self._files = files
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

    async def changed_since(self, started_at: float | None) -> list[Violation]:
        """What happened to protected files since the run began, until now."""
        if self._files is None:
            return []
        await asyncio.to_thread(self._files.enforce)
        return self._files.since(started_at if started_at is not None else time.time())


def verdict(violations: list[Violation]) -> str:
    """Why the result of a run does not count."""
    names = ", ".join(sorted(f"'{bad.path}'" for bad in violations))
    return (
        f"protected files were written to while it ran ({names}): its result does not count; "
        "rerun it"
    )
