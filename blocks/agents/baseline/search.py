"""Which configurations to try: a Latin hypercube, then ever narrower ones around the best."""

import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from wildloop.blocks.agents.baseline.config import Dimension, ProjectFile

Configuration = dict[str, Any]
ASKS_PER_CONFIGURATION = 10
DIGITS = 4
PROMISING = 3
MARGIN = 0.1
INNER = 0.7


def first_configurations(
    project: ProjectFile, seen: Iterable[Configuration], count: int, seed: int
) -> list[Configuration]:
    """Up to `count` new configurations to begin with: the middle of the space, and around it.

    People declare ranges around what they hold for good, so the outmost parts come later.
    """
    known = {key_of(one) for one in seen}
    middle: list[Configuration] = []
    _take({name: placed(one, 0.5) for name, one in project.search.items()}, project, known, middle)
    rest = random_configurations(project, [*seen, *middle], count - len(middle), seed, INNER)
    return [*middle, *rest]


def random_configurations(
    project: ProjectFile,
    seen: Iterable[Configuration],
    count: int,
    seed: int,
    inner: float = 1.0,
) -> list[Configuration]:
    """Up to `count` new random configurations, each range cut into `count` strata.

    Latin hypercube sampling (McKay, Beckman, Conover 1979): one draw from each stratum of every
    dimension covers the space better than independent draws. Fewer come where a small discrete
    space has no more to offer. `inner` is the share of each range, around its middle, that is
    drawn from; texts and short lists are drawn from as they are.
    """
    rng = random.Random(seed)
    known = {key_of(one) for one in seen}
    found: list[Configuration] = []
    for _ in range(ASKS_PER_CONFIGURATION if count > 0 else 0):
        columns = {}
        for name, dimension in project.search.items():
            strata = [(i + rng.random()) / count for i in range(count)]
            rng.shuffle(strata)
            if dimension.values is None:
                strata = [0.5 + inner * (share - 0.5) for share in strata]
            columns[name] = [placed(dimension, share) for share in strata]
        for i in range(count):
            _take({name: columns[name][i] for name in columns}, project, known, found)
        if len(found) >= count:
            break
    return found[:count]


def placed(dimension: Dimension, share: float) -> Any:
    """The value at `share` (0 to 1) of a dimension, four significant digits of it."""
    if dimension.values is not None:
        return dimension.values[min(len(dimension.values) - 1, int(share * len(dimension.values)))]
    low, high = dimension.range
    value = low * (high / low) ** share if dimension.log else low + (high - low) * share
    return round(value) if dimension.int else min(high, max(low, _rounded(value)))


def narrowed(project: ProjectFile, ranked: Sequence[Configuration]) -> ProjectFile:
    """The project with its search space cut down to where the best configurations lie.

    A range keeps what the best three span, and a tenth of itself to either side; a list keeps the
    values that they have.

    Args:
        project: the whole space.
        ranked: configurations with a result, best first; none leaves the space as it is.
    """
    best = ranked[:PROMISING]
    if not best:
        return project
    space = {
        name: _around(dimension, [one[name] for one in best if name in one])
        for name, dimension in project.search.items()
    }
    return project.model_copy(update={"search": space})


def _around(dimension: Dimension, places: Sequence[Any]) -> Dimension:
    """The part of a dimension where the places lie."""
    inside = [place for place in places if dimension.has(place)]
    if not inside:
        return dimension
    if dimension.values is not None:
        kept = [value for value in dimension.values if value in inside]
        return dimension.model_copy(update={"values": kept})
    low, high = dimension.range
    shares = [share_of(dimension, place) for place in inside]
    first, last = (
        placed(dimension, max(0.0, min(shares) - MARGIN)),
        placed(dimension, min(1.0, max(shares) + MARGIN)),
    )
    if dimension.int:
        first, last = max(low, min(first, min(inside) - 1)), min(high, max(last, max(inside) + 1))
    else:
        first, last = max(low, _rounded(first)), min(high, _rounded(last))
    if not first < last:
        return dimension
    return dimension.model_copy(update={"low": float(first), "high": float(last)})


def share_of(dimension: Dimension, value: Any) -> float:
    """Where `value` lies, from 0 to 1; inverse to `placed`."""
    if dimension.values is not None:
        return (dimension.values.index(value) + 0.5) / len(dimension.values)
    low, high = dimension.range
    if dimension.log:
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def _take(
    configuration: Configuration,
    project: ProjectFile,
    known: set[str],
    found: list[Configuration],
) -> None:
    """Add a configuration to `found`, unless it is known."""
    short = project.plain(configuration)
    if key_of(short) not in known:
        known.add(key_of(short))
        found.append(short)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def key_of(configuration: Mapping[str, Any]) -> str:
    """A text that is equal for equal configurations, 1 and 1.0 being equal."""
    same = {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in configuration.items()
    }
    return json.dumps(same, sort_keys=True)
