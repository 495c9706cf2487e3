"""Seeds that have decided nothing: what passes a test is on the mean too high, by its own seeds.

So once all is decided Wildloop runs the best and the baseline on further ones, and the gain is told
by these. `python -m bench.claims` shows what that is worth.
"""

from collections.abc import Mapping, Sequence

from wildloop.flows.evidence.compare import compare, why
from wildloop.flows.evidence.configuration import Configuration, estimate_over
from wildloop.flows.models.evidence import Comparison, Direction, Estimate
from wildloop.flows.models.run import Run

FEWEST = 2
TOLD = ("gain", "ours", "theirs", "error", "df", "low", "high")


def estimates(
    runs: Sequence[Run], by_run: Mapping[str, Configuration], metric: str | None
) -> dict[str, Estimate]:
    """The estimates by configuration, of the runs that executed its code.

    Args:
        runs: Wildloop's own that decide nothing.
        by_run: the configuration of each other run, by its id.
        metric: name of the primary one.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        one = by_run.get(run.parent_run_id or "")
        if one is not None and run.code == one.code:
            found.setdefault(one.id, []).append(run)
    return {id: estimate_over(mine, metric) for id, mine in found.items()}


def told(
    gain: Comparison,
    ours: Estimate | None,
    theirs: Estimate | None,
    direction: Direction,
    neighbours: Sequence[Estimate],
) -> Comparison:
    """The comparison with gain, means and interval by the further seeds; p stays.

    As it was where a side has fewer than two.
    """
    if ours is None or theirs is None or min(ours.n, theirs.n) < FEWEST:
        return gain
    fresh = compare(ours, theirs, direction, neighbours=neighbours, alpha=gain.alpha)
    seen = {name: getattr(fresh, name) for name in TOLD} | {"further": min(ours.n, theirs.n)}
    found = gain.model_copy(update=seen)
    return found.model_copy(update={"why": why(found)})
