"""Runs by configuration: same code, same parameters, any seed."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flows.models.run import Run
from flows.results import value_of

SEED_NAMES = frozenset({"seed", "random_seed", "random-seed", "random_state", "random-state"})
# Where a run writes to, and what it is called, is no part of what it tries.
_OUTPUT = re.compile(
    r"(?:.*[_-])?(?:out|output|outdir|save|log|logdir|dir|name|tag|ckpt|checkpoint)s?(?:[_-].*)?",
    re.IGNORECASE,
)
_SEED_FLAG = re.compile(rf"--?({'|'.join(sorted(SEED_NAMES))})(?:=(.*))?", re.DOTALL)


@dataclass
class Configuration:
    """The runs of one configuration; `values` are those of the finished ones with the metric.

    A seed that was run twice counts once, by its latest run: a repetition is no further sample.
    """

    key: str
    parameters: dict[str, Any]
    code: str | None
    runs: list[Run] = field(default_factory=list)
    by_seed: dict[str, tuple[Run, float]] = field(default_factory=dict)

    @property
    def values(self) -> list[float]:
        """The metric, a value for each seed."""
        return [value for _, value in self.by_seed.values()]

    @property
    def measured(self) -> list[Run]:
        """The runs behind `values`, in the same order."""
        return [run for run, _ in self.by_seed.values()]


def configurations(
    runs: Sequence[Run], metric: str, codes: Mapping[str, str] | None = None
) -> list[Configuration]:
    """The configurations that were run, in order of their first run.

    Args:
        runs: the runs of a session.
        metric: name of the primary metric.
        codes: digest of the code of each run, by id; runs of different code differ.
    """
    found: dict[str, Configuration] = {}
    for run in sorted(runs, key=lambda one: one.created_at):
        code = (codes or {}).get(run.id)
        parameters = settings_of(run)
        # Where the code is known, it tells more than the folder, which may be a snapshot's.
        key = f"{code or run.workdir} {program_of(run)} {normal(parameters)}"
        group = found.setdefault(key, Configuration(key, parameters, code))
        group.runs.append(run)
        value = value_of(run, metric)
        if value is not None:
            # Without a seed nothing says that two runs are the same sample.
            seed = seed_of(run)
            group.by_seed[f"run {run.id}" if seed is None else seed] = (run, value)
    return list(found.values())


def seed_of(run: Run) -> str | None:
    """The run's seed: as recorded, else from its parameters, else from its command line."""
    if run.seed is not None:
        return str(run.seed)
    for name, value in run.parameters.items():
        if name.lower() in SEED_NAMES:
            return str(value)
    for word, following in pairwise([*words_of(run.command), ""]):
        if match := _SEED_FLAG.fullmatch(word):
            return match[2] if match[2] is not None else following
    return None


def settings_of(run: Run) -> dict[str, Any]:
    """What sets this run apart but its seed: its parameters, and flags of its command line."""
    found: dict[str, Any] = {}
    for word, following in pairwise([*words_of(run.command)[1:], "-"]):
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or not name or _OUTPUT.fullmatch(name):
            continue
        # `--lr 0.1`, or a flag that stands alone; `-0.1` is a value and not a name.
        if not equals:
            value = "on" if following.startswith("--") or following == "-" else following
        found[name] = value
    # The parameters hold the same values unquoted and with their types.
    found |= run.parameters
    return {name: value for name, value in found.items() if name.lower() not in SEED_NAMES}


def program_of(run: Run) -> str:
    """The command line without its flags; all of it where it cannot be taken apart."""
    words = words_of(run.command)
    kept = []
    for index, word in enumerate(words):
        if word.startswith("-"):
            continue
        before = words[index - 1] if index else ""
        if before.startswith("--") and "=" not in before:
            continue
        kept.append(word)
    return " ".join(kept)


def words_of(command: str) -> list[str]:
    """The command's words; a command with a loose quote is one word."""
    try:
        return shlex.split(command)
    except ValueError:
        return [command]


def normal(parameters: Mapping[str, Any]) -> str:
    """A text that is equal for equal settings: 1, 1.0 and "1" are written the same."""
    return repr(sorted((name, plain_value(value)) for name, value in parameters.items()))


def plain_value(value: Any) -> str:
    """A setting as text; numbers by value."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return f"{float(value):.12g}"
    except (TypeError, ValueError):
        return str(value)


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings that differ: name to (value in `one`, value in `other`); None where missing."""
    names = [*one, *(name for name in other if name not in one)]
    return {
        name: (one.get(name), other.get(name))
        for name in names
        if plain_value(one.get(name)) != plain_value(other.get(name))
    }
