"""A warm start: what earlier sessions have found best of the same code is tried first."""

import math
import statistics
from collections.abc import Sequence

from wildloop.blocks.agents.baseline.analysis import Group, baseline_group, groups
from wildloop.blocks.agents.baseline.api import RunView
from wildloop.blocks.agents.baseline.config import ProjectFile
from wildloop.blocks.agents.baseline.search import Configuration, key_of

MOST = 3
SHARE = 3
"""At most one in so many of the broad start's runs repeats what is known."""


def known_good(
    project: ProjectFile, runs: Sequence[RunView], earlier: Sequence[RunView], count: int
) -> list[Configuration]:
    """The best configurations of earlier sessions, best first; none where the code is another.

    They are only proposals: what a session says of them rests on its own runs. One that a single
    run measured counts for less than a mean over seeds (its value less one standard error).

    Args:
        project: space, metric and baseline.
        runs: of this session; those of its baseline tell which code it begins with.
        earlier: finished runs of other sessions.
        count: how many runs the broad start has.
    """
    base = baseline_group(runs, project)
    codes = {(run.code, run.workdir) for run in base.runs if run.code} if base else set()
    same = [run for run in earlier if (run.code, run.workdir) in codes]
    found = [one for one in groups(same, project) if _lies_within(one, project)]
    spreads = [one.spread for one in found if one.spread is not None]
    noise = statistics.median(spreads) if spreads else 0.0
    sign = 1.0 if project.metric.direction == "max" else -1.0

    def worth(one: Group) -> float:
        return sign * one.mean - noise / math.sqrt(len(one.values))

    key = key_of(project.base())
    bar = next((worth(one) for one in found if key_of(one.configuration) == key), -math.inf)
    better = [one for one in found if key_of(one.configuration) != key and worth(one) > bar]
    better.sort(key=worth, reverse=True)
    return [project.plain(one.configuration) for one in better[: min(MOST, count // SHARE)]]


def _lies_within(one: Group, project: ProjectFile) -> bool:
    """Whether all its values may be tried in this session, whose space may be another."""
    return all(space.has(one.configuration[name]) for name, space in project.search.items())
