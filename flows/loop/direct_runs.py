"""Experiments that an agent has started itself, past the API."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path, PurePosixPath

import psutil

from wildloop.blocks.agents.shell_calls import shell_calls
from wildloop.blocks.launchers import processes
from wildloop.blocks.launchers.record import EXIT_CODE, RECORD, read_record
from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.guards.commands import forms, scripts_of, started_by_words, started_directly
from wildloop.flows.project import ProjectConfig

LOOK_SECONDS = 3.0
RECORDS = 5
MAX_SEEN = 1000
SHOWN = 160
Words = tuple[str, ...]


@asynccontextmanager
async def watched(paths: SessionPaths, label: str = "*") -> AsyncIterator[set[Words]]:
    """Note which scripts the agent's own processes carry out meanwhile, whatever its kind.

    A process that lives for less than three seconds may be missed.

    Args:
        paths: of the session.
        label: of the call, where others may be under way beside it.
    """
    seen: set[Words] = set()
    looking = asyncio.create_task(_look_on(paths.processes, seen, label))
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.wait({looking})


async def direct_starts(
    paths: SessionPaths,
    label: str,
    seen: Iterable[Words],
    commands: Iterable[str],
    project: ProjectConfig | None,
) -> list[str]:
    """Commands by which a call has started experiments itself, in any of its attempts.

    Args:
        paths: of the session.
        label: of the call.
        seen: the words of the agent's processes, as `watched` has noted them.
        commands: of the project's runs, by whose scripts others are known.
        project: its wildloop.toml, whose training script is known as well.
    """
    trained = str(project.train.get("command", "")) if project else ""
    known = forms(scripts_of([*commands, trained]), PurePosixPath(paths.workdir))
    calls = await asyncio.to_thread(_shell_calls, paths.processes, label)
    found: dict[str, str] = {}
    for command in calls:
        for script in started_directly(command, known):
            found.setdefault(PurePosixPath(script).name, command)
    for words in sorted(seen):
        for script in started_by_words(words, known):
            found.setdefault(PurePosixPath(script).name, " ".join(words))
    return [_told(command) for command in found.values()]


def _shell_calls(folder: Path, label: str) -> list[str]:
    """The shell commands of a call; `iteration-01.2` is the second attempt of `iteration-01`."""
    records = [
        path for path in folder.glob(f"{label}.*") if path.name.removeprefix(f"{label}.").isdigit()
    ]
    return [command for record in sorted(records) for command in shell_calls(record)]


def _told(command: str) -> str:
    line = " ".join(command.split())
    shown = line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
    return (
        f"an experiment was started directly (`{shown}`): it is not queued, measured or recorded; "
        "create a run by the API or an <experiments> block instead"
    )


async def _look_on(folder: Path, seen: set[Words], label: str) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        words = await asyncio.to_thread(_scripts_at_work, folder, label)
        if len(seen) < MAX_SEEN:
            seen |= words


def _scripts_at_work(folder: Path, label: str) -> set[Words]:
    """The words of the processes of the calls under way that carry out a script."""
    found: set[Words] = set()
    for record_folder in _calls_under_way(folder, label):
        try:
            record = read_record(record_folder)
        except ValueError:
            continue
        if record is None:
            continue
        for process in processes.members(record):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                # The wrapper's own words hold the agent's command.
                words = process.cmdline() if process.pid != record.pid else []
                if words and _may_be_experiment(words):
                    found.add(tuple(words))
    return found


def _may_be_experiment(words: list[str]) -> bool:
    """Whether a process may be an experiment: an interpreter or a launcher with a file."""
    return any(word.endswith((".py", ".sh", ".sbatch", ".jl", ".R")) for word in words[:12])


def _calls_under_way(folder: Path, label: str) -> list[Path]:
    own = "*" if label == "*" else f"{label}.[0-9]*"
    found = (*folder.glob(f"{own}/{RECORD}"), *folder.glob(f"{own}/*/{RECORD}"))
    places = [path.parent for path in found]
    open_ones = [place for place in places if not (place / EXIT_CODE).exists()]
    return sorted(open_ones, key=lambda place: place.stat().st_mtime)[-RECORDS:]
