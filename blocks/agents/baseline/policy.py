"""How the runs are spent: a search by expected improvement, then a race over fresh seeds.

The search goes on while more runs are left than it is expected to take to show that the most
promising configuration is better than the baseline. The race then gives fresh seeds to those that
may be the best, and to the baseline, run by run where they tell most.
"""

import math
from collections.abc import Collection, Sequence

import numpy as np

from wildloop.blocks.agents.baseline.analysis import SEARCH_SEED, VARIED_FROM, Group
from wildloop.blocks.agents.baseline.api import RunView
from wildloop.blocks.agents.baseline.config import ProjectFile
from wildloop.blocks.agents.baseline.outlook import Outlook
from wildloop.blocks.agents.baseline.proposals import promising_configurations
from wildloop.blocks.agents.baseline.search import key_of
from wildloop.blocks.agents.baseline.shares import FEWEST_FRESH, MANY, Step, Wanted

SURE = 3.2
"""So many standard errors a gain should have, to be shown with a probability of about 0.9."""
MOST_RACED = 0.3
OPEN = 0.1
"""A rival whose chance to be the best is above this is still in the race."""
CONTEST = 12
LOUD = 0.5


def next_step(
    project: ProjectFile,
    runs: Sequence[RunView],
    total: int,
    batch: int,
    draw: int,
    shown: Collection[str] = (),
) -> Step:
    """What the next runs are.

    Args:
        project: space, metric and baseline.
        runs: of the session; all have ended.
        total: runs that may be spent in all.
        batch: how many are run at once.
        draw: seed of what is drawn.
        shown: keys of the configurations that are shown to be better than the baseline.
    """
    left, outlook = total - len(runs), Outlook(project, runs)
    if left <= 0 or not outlook.has_results or outlook.base is None:
        return Step("done", [])
    spare = left - runs_to_show(outlook, total)
    if spare > 0:
        found = _search(outlook, min(batch, spare), draw)
        if found:
            return Step("search", found)
    return _race(outlook, left, batch, draw, shown)


def last_race(
    project: ProjectFile, runs: Sequence[RunView], batch: int, draw: int, shown: Collection[str]
) -> Step:
    """What half of the runs kept back for an ablation is spent on while nothing is shown.

    Args:
        project: space, metric and baseline; the other half of what is kept back stays.
        runs: of the session; all have ended.
        batch: how many are run at once.
        draw: seed of what is drawn.
        shown: keys of the configurations that are shown to be better than the baseline.
    """
    left = project.budget.runs - project.budget.ablation // 2 - len(runs)
    outlook = Outlook(project, runs)
    if shown or left <= 0 or not outlook.has_results or outlook.base is None:
        return Step("done", [])
    return _race(outlook, left, batch, draw, shown)


def _search(outlook: Outlook, count: int, draw: int) -> list[Wanted]:
    seen = [one.configuration for one in outlook.groups] + outlook.failed
    found = promising_configurations(outlook, seen, count, draw)
    seed = SEARCH_SEED
    if outlook.noise > LOUD * outlook.process.spread:
        # One loud seed would be fitted as if it were the metric.
        seed = VARIED_FROM + len(outlook.runs)
    return [(one, seed) for one in found]


def runs_to_show(outlook: Outlook, total: int) -> int:
    """How many runs the race is expected to need."""
    if outlook.is_exact:
        return len(_exact(outlook).wanted)
    if not outlook.rivals:
        return FEWEST_FRESH
    leader = outlook.rivals[0]
    most = math.floor(MOST_RACED * total) if total >= MANY else FEWEST_FRESH
    gain = outlook.gain(leader)
    each = most if gain <= 0 else math.ceil(2 * (SURE * outlook.noise / gain) ** 2)
    each = max(each, FEWEST_FRESH)
    base = 0 if outlook.base is None else len(outlook.base.values)
    lacking = max(0, each - len(leader.fresh_seeds)) + max(0, each - base)
    contest = FEWEST_FRESH if total > 16 else 0
    return min(most, lacking + contest)


def _race(outlook: Outlook, left: int, batch: int, draw: int, shown: Collection[str]) -> Step:
    if not outlook.rivals:
        return Step("done", [])
    if outlook.is_exact:
        return _exact(outlook)
    rng = np.random.default_rng(draw)
    some = outlook.rivals[:CONTEST]
    chances = outlook.chances(some, rng)
    base = outlook.base
    assert base is not None
    taken = [len(one.fresh_seeds) for one in some]
    behind = len(base.fresh_seeds)
    measured = len(base.values) - behind
    rival = int(np.argmax(np.where(np.arange(len(some)) == 0, -1, chances)))
    wanted: list[Wanted] = []
    is_shown = key_of(some[0].configuration) in shown
    for _ in range(min(batch, left)):
        is_open = len(some) > 1 and chances[rival] > OPEN
        need = _needed(outlook, some[0], taken[0], behind + measured)
        if taken[0] < FEWEST_FRESH:
            place = 0
        elif is_open and taken[rival] <= taken[0] and (is_shown or left - len(wanted) > need):
            place = rival
        elif is_shown and not is_open:
            break
        elif is_shown:
            place = 0
        else:
            place = -1 if behind < taken[0] else 0
        if place < 0:
            wanted.append((base.configuration, _next_seed(base, behind)))
            behind += 1
        else:
            wanted.append((some[place].configuration, _next_seed(some[place], taken[place])))
            taken[place] += 1
    return Step("race" if wanted else "done", wanted)


def _needed(outlook: Outlook, leader: Group, taken: int, behind: int) -> int:
    gain = outlook.gain(leader)
    if gain <= 0:
        return 10**6
    each = max(FEWEST_FRESH, math.ceil(2 * (SURE * outlook.noise / gain) ** 2))
    return max(0, each - taken) + max(0, each - behind)


def _exact(outlook: Outlook) -> Step:
    """Seeds change nothing: the leader is repeated once, to know it of more than the baseline."""
    leader = next(iter(outlook.rivals), None)
    is_known = any(len(one.values) > 1 for one in outlook.rivals)
    if leader is None or is_known or outlook.gain(leader) <= 0:
        return Step("done", [])
    return Step("race", [(leader.configuration, 1)])


def _next_seed(group: Group, taken: int) -> int:
    """The next fresh seed of a configuration, the same ones for all."""
    return taken + 1
