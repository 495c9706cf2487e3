"""One identity of what ran: contents of the files, the command, the parameters; any seed."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import attrgetter
from typing import Any

from wildloop.flows.evidence.estimate import are_equal, estimate_of
from wildloop.flows.evidence.known import Known
from wildloop.flows.evidence.settings import (
    differences,
    identity,
    label_of,
    program_of,
    seed_of,
    settings_of,
    takes_seed,
)
from wildloop.flows.evidence.values import value_of
from wildloop.flows.models.evidence import Estimate, Level
from wildloop.flows.models.own_runs import is_confirmation
from wildloop.flows.models.run import Run, RunStatus

CODE_LENGTH = 7
ID_LENGTH = 12
SAME_CALL_S = 60.0
LABEL = "a label"


@dataclass
class Configuration:
    """Runs that differ in nothing but the seed.

    Runs of one seed count once, by their mean. Runs without a seed count each, but of equal values
    one: a run repeated as it was tells nothing new.

    Args:
        id: the same for the same configuration, in any session.
        label: its settings in one line.
        settings: by name, without the seed.
        code: digest of the files that ran; None where no run has recorded one.
        runs: all of them, in the order of their creation.
        code_name: what tells this code from others of the session; empty where there is one.
        metric: name of the primary metric.
        calls: the agent's call that each run belongs to, by run id.
        is_reference: whether it is what others are compared with, which no value has chosen.
        level: of what it is compared by.
        doubts: why that is no more than claimed.
    """

    id: str
    label: str
    settings: dict[str, Any]
    code: str | None = None
    runs: list[Run] = field(default_factory=list)
    code_name: str = ""
    metric: str | None = None
    calls: Mapping[str, str] = field(default_factory=dict)
    is_reference: bool = False
    level: Level = Level.CLAIMED
    doubts: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As texts show it."""
        return f"{self.label} ({self.code_name})" if self.code_name else self.label

    @cached_property
    def program(self) -> str:
        """The command without its settings."""
        return program_of(self.runs[0])

    @property
    def code_lines(self) -> int | None:
        """Lines of the files that it ran; None where they were not counted."""
        return next((run.code_lines for run in self.runs if run.code_lines is not None), None)

    @cached_property
    def has_label_seeds(self) -> bool:
        """Whether its seeds are labels only: the same command was run under several of them."""
        seeds: dict[str, set[str]] = {}
        for run in self.runs:
            if not takes_seed(run) and (seed := seed_of(run)) is not None:
                seeds.setdefault(run.command, set()).add(seed)
        return any(len(found) > 1 for found in seeds.values())

    @property
    def has_idle_seeds(self) -> bool:
        """Whether three seeds or more, which its program takes, gave one and the same value."""
        return self.n > 2 and not self.has_label_seeds and are_equal(self.estimate.values)

    @cached_property
    def by_seed(self) -> dict[str, list[tuple[Run, float]]]:
        """The runs that have a value, by seed."""
        return _by_seed(self.runs, self.metric, self.has_label_seeds)

    @cached_property
    def estimate(self) -> Estimate:
        """Over all its seeds."""
        return _estimate(self.by_seed)

    @property
    def measured(self) -> list[Run]:
        """The runs behind the estimate, one for each seed."""
        return [pairs[-1][0] for pairs in self.by_seed.values()]

    @property
    def n(self) -> int:
        """How many seeds have a value."""
        return len(self.by_seed)

    @property
    def counted(self) -> Estimate:
        """What is told of it: Wildloop's own runs, where there are two of them, else all seeds."""
        return self.own if self.own.n > 1 else self.estimate

    @property
    def mean(self) -> float | None:
        """Mean over the seeds that count."""
        return self.counted.mean

    @property
    def score(self) -> str:
        """`0.971 ± 0.003 (n=3)`"""
        return self.counted.text

    @property
    def seconds(self) -> float:
        """How long its runs took, on the mean; 0 where none has ended."""
        took = [
            run.finished_at - run.started_at
            for run in self.runs
            if run.started_at is not None and run.finished_at is not None
        ]
        return math.fsum(took) / len(took) if took else 0.0

    @cached_property
    def failures(self) -> list[Run]:
        """Its failed runs."""
        return [run for run in self.runs if run.status is RunStatus.FAILED]

    @cached_property
    def is_over(self) -> bool:
        """Whether none of its runs is to end yet."""
        return all(run.status.is_terminal for run in self.runs)

    @cached_property
    def choosing(self) -> list[str]:
        """The seeds that ran before any value was known, where others came after.

        Their values may be why it was run again, so they say nothing new about it. What one call
        of the agent creates is one decision, though the first run may end before the last is made.
        """
        pairs = [pairs[0][0] for pairs in self.by_seed.values()]
        ends = [run.finished_at for run in pairs if run.finished_at is not None]
        if self.is_reference or not ends:
            return []
        first, known = self.calls.get(pairs[0].id), min(ends)
        late = {
            run.id
            for run in pairs
            if run.created_at > known + (SAME_CALL_S if self.calls.get(run.id) == first else 0.0)
        }
        early = [seed for seed, found in self.by_seed.items() if found[0][0].id not in late]
        return early if late else []

    @cached_property
    def confirming(self) -> Estimate | None:
        """Over the seeds that did not choose it; None where its seeds all came at once."""
        if not self.choosing:
            return None
        later = {seed: pairs for seed, pairs in self.by_seed.items() if seed not in self.choosing}
        return _estimate(later)

    @property
    def compared(self) -> Estimate:
        """What it is compared by: Wildloop's own runs, where there are two of them.

        Else the seeds that did not choose it, where there are two of these.
        """
        if self.own.n > 1:
            return self.own
        confirming = self.confirming
        return confirming if confirming is not None and confirming.n > 1 else self.estimate

    @cached_property
    def own_runs(self) -> list[Run]:
        """Those that Wildloop has made itself."""
        return [run for run in self.runs if is_confirmation(run)]

    @cached_property
    def own_by_seed(self) -> dict[str, list[tuple[Run, float]]]:
        """Wildloop's own runs that have a value, by seed."""
        return _by_seed(self.own_runs, self.metric)

    @cached_property
    def own(self) -> Estimate:
        """Over the seeds of Wildloop's own runs."""
        return _estimate(self.own_by_seed)

    @cached_property
    def behind(self) -> list[Run]:
        """The runs behind what it is compared by."""
        if self.own.n > 1:
            return [run for run in self.own_runs if value_of(run, self.metric or "") is not None]
        return [run for pairs in self.by_seed.values() for run, _ in pairs]

    @property
    def is_testable(self) -> bool:
        """Whether anything may be claimed of it: by two seeds or more that did not choose it."""
        return not self.missing_seeds and self.compared.n > 1 and self.is_unchosen

    @property
    def is_unchosen(self) -> bool:
        """Whether what it is compared by has not chosen it."""
        return self.own.n > 1 or self.confirming is None or self.confirming.n > 1

    @cached_property
    def missing_seeds(self) -> list[str]:
        """Seeds that were tried and have no value."""
        lost = [
            seed_of(run)
            for run in self.runs
            if run.status.is_terminal and self.metric and value_of(run, self.metric) is None
        ]
        # A run without a seed that failed was made good by one that did not.
        return [
            seed or "?"
            for seed in dict.fromkeys(lost)
            if seed not in self.by_seed and not (seed is None and self.by_seed)
        ]

    @cached_property
    def repeats(self) -> list[list[float]]:
        """The values of each seed that ran more than once."""
        groups = [[value for _, value in pairs] for pairs in self.by_seed.values()]
        return [group for group in groups if len(group) > 1]

    @property
    def not_reproducible(self) -> list[str]:
        """Seeds that gave different values though code, settings and seed are the same."""
        return [
            seed
            for seed, pairs in self.by_seed.items()
            if len(pairs) > 1 and not are_equal([value for _, value in pairs])
        ]

    @cached_property
    def withdrawn(self) -> str | None:
        """Why it was taken out of the comparison."""
        return next((run.withdrawn for run in self.runs if run.withdrawn), None)

    @cached_property
    def is_archived(self) -> bool:
        """Whether all its runs are archived."""
        return all(run.is_archived for run in self.runs)

    def renewed(self, calls: Mapping[str, str]) -> "Configuration":
        """A copy for another account, which judges it anew; its values stay as they are."""
        found = object.__new__(Configuration)
        found.__dict__.update(self.__dict__)
        found.calls, found.code_name = calls, ""
        found.level, found.doubts = Level.CLAIMED, []
        found.set_reference(False)
        return found

    def set_reference(self, is_reference: bool) -> None:
        """Say whether others are compared with it."""
        if self.is_reference != is_reference:
            self.is_reference = is_reference
            # They are of what it was before.
            for name in ("choosing", "confirming"):
                self.__dict__.pop(name, None)

    def changes_from(self, other: "Configuration") -> int:
        """How many settings differ; other code or another program counts as one."""
        is_other = self.code != other.code or self.program != other.program
        return len(differences(self.settings, other.settings)) + is_other


def configurations(
    runs: Sequence[Run],
    metric: str | None,
    calls: Mapping[str, str] | None = None,
    known: Known | None = None,
) -> list[Configuration]:
    """The configurations of these runs, in order of their first run.

    Two runs belong together if they ran the same contents of files by the same command with the
    same parameters, whatever the seed. Runs whose code is unknown (see `is_unknown`) are left out:
    nothing tells what they would be compared as; likewise those that were not launched yet.

    Args:
        runs: any runs.
        metric: name of the primary metric; None leaves the values empty.
        calls: the agent's call that each run belongs to, by run id.
        known: what was found of these runs before.
    """
    known, calls = known or Known(), calls or {}
    found: dict[str, list[Run]] = {}
    for run in sorted(runs, key=attrgetter("created_at")):
        if is_unknown(run) or is_not_launched(run):
            continue
        key = known.get(("id", run.id), (run,), partial(configuration_id, run))
        found.setdefault(key, []).append(run)
    return [_configuration(key, group, metric, calls, known) for key, group in found.items()]


def _configuration(
    id: str, runs: list[Run], metric: str | None, calls: Mapping[str, str], known: Known
) -> Configuration:
    def make() -> Configuration:
        first = runs[0]
        shown = (label_of(first), settings_of(first), first.code)
        return Configuration(id, *shown, runs=runs, metric=metric, calls=calls)

    key = ("configuration", id, metric, *(calls.get(run.id) for run in runs))
    # What it works out when it is asked comes with the copy.
    found = known.get(key, runs, make).renewed(calls)
    known.put(key, runs, found)
    return found


def configuration_id(run: Run) -> str:
    """What tells a run's configuration from all others."""
    code = run.code or f"{run.workdir}\0{run.git_commit or ''}"
    text = "\0".join([code, run.environment or "", identity(run)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_LENGTH]


def is_unknown(run: Run) -> bool:
    """Whether it cannot be told what code a run executed."""
    return bool(run.code_note)


def is_not_launched(run: Run) -> bool:
    """Whether a run has not begun, so that nothing is known of it but what was asked for."""
    return run.started_at is None and not run.status.is_terminal and run.code is None


def name_codes(found: Sequence[Configuration]) -> None:
    """Name the code of each of a session's configurations where there are several."""
    first = {one.code: one.runs[0] for one in reversed(found)}
    if len(first) < 2:
        return
    for one in found:
        since = one.calls.get(first[one.code].id)
        digest = (one.code or "not recorded")[:CODE_LENGTH]
        one.code_name = f"code {digest}" + (f", since {since}" if since else "")


def _by_seed(
    runs: Sequence[Run], metric: str | None, has_labels: bool = False
) -> dict[str, list[tuple[Run, float]]]:
    found: dict[str, list[tuple[Run, float]]] = {}
    unseeded: list[float] = []
    for run in runs:
        value = value_of(run, metric) if metric else None
        if value is None:
            continue
        # Under labels one and the same seed was run again and again.
        seed = LABEL if has_labels and not takes_seed(run) else seed_of(run)
        if seed is None:
            if any(are_equal([value, other]) for other in unseeded):
                continue
            unseeded.append(value)
        found.setdefault(f"run {run.id}" if seed is None else seed, []).append((run, value))
    return found


def estimate_over(runs: Sequence[Run], metric: str | None) -> Estimate:
    """Over the seeds of runs of one configuration."""
    return _estimate(_by_seed(runs, metric))


def _estimate(by_seed: Mapping[str, Sequence[tuple[Run, float]]]) -> Estimate:
    means = {
        seed: math.fsum(value for _, value in pairs) / len(pairs) for seed, pairs in by_seed.items()
    }
    return estimate_of(means)
