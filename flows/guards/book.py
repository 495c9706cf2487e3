"""The guards of the sessions that a worker has to do with."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from prefect.client.orchestration import PrefectClient

from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.guards.baseline import Baseline, copies_folder, take_baseline
from wildloop.flows.guards.protected import ProtectedFiles
from wildloop.flows.store import artifacts

PREFIX = "protected-"
SHOWN_FILES = 200


class GuardBook:
    """Protected files by session: one guard each, for the session and all its runs.

    The baseline is an artifact of the Prefect server, so that every host and every later worker
    finds the same; a session without one has nothing protected.
    """

    def __init__(self) -> None:
        self._guards: dict[str, ProtectedFiles | None] = {}

    async def find(
        self, client: PrefectClient, home: Path, session_id: str
    ) -> ProtectedFiles | None:
        """The guard of a session; None where nothing is protected."""
        if session_id not in self._guards:
            found = await artifacts.latest(client, PREFIX + session_id)
            baseline = None
            for artifact in found.values():
                baseline = Baseline.model_validate_json(artifacts.record_of(artifact))
            self._guards[session_id] = _guard(baseline, home) if baseline else None
        return self._guards[session_id]

    async def begin(
        self,
        client: PrefectClient,
        home: Path,
        session_id: str,
        root: Path,
        patterns: Sequence[str],
    ) -> ProtectedFiles | None:
        """Record the protected files of a session that begins.

        What was recorded before stands: a session that is taken up again has the same baseline.

        Raises:
            TooManyFiles, OSError: they cannot be recorded.
        """
        known = await self.find(client, home, session_id)
        if known is not None or not patterns:
            return known
        copies = copies_folder(home)
        baseline = await asyncio.to_thread(take_baseline, root, session_id, patterns, copies)
        await artifacts.write(
            client,
            PREFIX + session_id,
            text=_markdown(baseline),
            description=f"{len(baseline.files)} protected files",
            record=baseline.model_dump_json(),
        )
        self._guards[session_id] = _guard(baseline, home)
        return self._guards[session_id]


def _guard(baseline: Baseline, home: Path) -> ProtectedFiles:
    aside = SessionPaths.of(baseline.root, baseline.session_id).processes / "set-aside"
    return ProtectedFiles(baseline, copies_folder(home), aside)


def _markdown(baseline: Baseline) -> str:
    lines = ["| file | bytes | SHA-256 |", "| --- | --- | --- |"]
    for file in baseline.files[:SHOWN_FILES]:
        content = f"link to {file.target}" if file.kind == "link" else file.sha256 or "not read"
        lines.append(f"| {file.path} | {file.size} | {content} |")
    if len(baseline.files) > SHOWN_FILES:
        lines.append(f"| ... and {len(baseline.files) - SHOWN_FILES} more | | |")
    return "\n".join([*lines, "", *(f"- {note}" for note in baseline.notes)])
