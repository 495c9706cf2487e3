"""Two runs beside one another: command, parameters, code, environment, metrics."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from wildloop.blocks.launchers.record import open_to_read
from wildloop.flows.evidence.configuration import configuration_id
from wildloop.flows.files.manifest import Manifest, read_manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.git.history import difference_between
from wildloop.flows.git.process import GitError
from wildloop.flows.models.comparison import ComparedValue, Group, RunComparison
from wildloop.flows.models.history import Difference
from wildloop.flows.models.run import Run
from wildloop.flows.text.redaction import redact
from wildloop.shim.metrics import MetricsReader

LIST_BYTES = 1024 * 1024
# A run can write its own manifest: nothing but an id of an object may reach git's command line.
_OBJECT = re.compile(r"[0-9a-f]{7,64}")
_DIGEST = re.compile(r"[0-9a-f]{16,64}")


async def compare_runs(first: Run, second: Run, reader: MetricsReader) -> RunComparison:
    """What differs between two runs. It tells no verdict: those are of configurations."""
    notes = await asyncio.to_thread(lambda: (_manifest(first), _manifest(second)))
    values = await asyncio.to_thread(lambda: list(_values(first, second, *notes, reader)))
    return RunComparison(
        first=first,
        second=second,
        is_same_configuration=configuration_id(first) == configuration_id(second),
        values=values,
        code=await _code(first, second, *notes),
    )


def _values(
    first: Run, second: Run, one: Manifest | None, other: Manifest | None, reader: MetricsReader
) -> Iterator[ComparedValue]:
    commands = (redact(first.command), redact(second.command))
    yield _compared("command", "command", *commands)
    yield _compared("command", "workdir", first.workdir, second.workdir)
    yield _compared("parameters", "seed", first.seed, second.seed)
    yield from _each("parameters", first.parameters, second.parameters)
    yield _compared("code", "commit", first.git_commit, second.git_commit)
    yield _compared("code", "files that ran", first.code, second.code)
    yield from _each("environment", _surroundings(first, one), _surroundings(second, other))
    yield from _each("metrics", reader.read(first).last, reader.read(second).last)


def _each(
    group: Group, first: Mapping[str, Any], second: Mapping[str, Any]
) -> Iterator[ComparedValue]:
    for name in dict.fromkeys([*first, *second]):
        yield _compared(group, name, first.get(name), second.get(name))


def _compared(group: Group, name: str, first: Any, second: Any) -> ComparedValue:
    differs = first != second
    return ComparedValue(group=group, name=name, first=first, second=second, differs=differs)


def _manifest(run: Run) -> Manifest | None:
    """What was noted as it began; None before that."""
    try:
        return read_manifest(RunPaths(Path(run.run_dir)))
    except (OSError, ValidationError):
        return None


def _surroundings(run: Run, note: Manifest | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "host": run.host,
        "devices": ", ".join(run.gpus),
        "variables": ", ".join(run.variables),
    }
    if note is None:
        return found
    known = note.environment
    found |= {"python": known.python, "driver": known.driver, "packages": known.hash}
    return found | _packages(run, known.hash)


def _packages(run: Run, digest: str | None) -> dict[str, str]:
    """The packages with their versions; none where the list is gone."""
    if digest is None or not _DIGEST.fullmatch(digest):
        return {}
    path = Path(run.workdir) / ".wild" / "environments" / f"{digest[:16]}.txt"
    try:
        with open_to_read(path) as file:
            lines = file.read(LIST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("==") for line in lines)
    return {f"package {name}": version for name, mark, version in pairs if mark}


async def _code(
    first: Run, second: Run, one: Manifest | None, other: Manifest | None
) -> Difference:
    if first.code is not None and first.code == second.code:
        return Difference(note="The same files ran.")
    trees = [_tree(note) for note in (one, other)]
    if not all(map(_OBJECT.fullmatch, trees)):
        return Difference(note="It was not noted which files ran.")
    try:
        return await difference_between(
            Path(first.workdir), trees[0], trees[1], "The files that ran are the same.", redact
        )
    except GitError as error:
        return Difference(note=f"The files that ran cannot be compared: {error}")


def _tree(note: Manifest | None) -> str:
    return (note.tree or note.git_commit or "") if note is not None else ""
