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


def random_configurations(
    project: ProjectFile, seen: Iterable[Configuration], count: int, seed: int
) -> list[Configuration]:
    """Up to `count` new random configurations, each range cut into `count` strata.

    Latin hypercube sampling (McKay, Beckman, Conover 1979): one draw from each stratum of every
    dimension covers the space better than independent draws. Fewer come where a small discrete
    space has no more to offer.
    """
    rng = random.Random(seed)
    known = {key_of(one) for one in seen}
    found: list[Configuration] = []
    for _ in range(ASKS_PER_CONFIGURATION):
        columns = {}
        for name, dimension in project.search.items():
            strata = [(i + rng.random()) / count for i in range(count)]
            rng.shuffle(strata)
            columns[name] = [_place(dimension, share) for share in strata]
        for i in range(count):
            _take({name: columns[name][i] for name in columns}, project, known, found)
        if len(found) >= count:
            break
    return found[:count]


def _place(dimension: Dimension, share: float) -> Any:
    """The value at `share` (0 to 1) of a dimension."""
    if dimension.values is not None:
        return dimension.values[min(len(dimension.values) - 1, int(share * len(dimension.values)))]
    low, high = dimension.range
    value = low * (high / low) ** share if dimension.log else low + (high - low) * share
    return round(value) if dimension.int else value


def narrowed(project: ProjectFile, ranked: Sequence[Configuration]) -> ProjectFile:
    """The project with its search space cut down to where the best configurations lie.

    A range keeps what the best three span, and a tenth of itself to either side; a list keeps the
    values that they have. After a broad search this found better configurations than TPE, at the
    few runs that a session has (`bench/search`).

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
    shares = [_share(dimension, place) for place in inside]
    first, last = (
        _place(dimension, max(0.0, min(shares) - MARGIN)),
        _place(dimension, min(1.0, max(shares) + MARGIN)),
    )
    if dimension.int:
        first, last = max(low, min(first, min(inside) - 1)), min(high, max(last, max(inside) + 1))
    else:
        first, last = max(low, _rounded(first)), min(high, _rounded(last))
    if not first < last:
        return dimension
    return dimension.model_copy(update={"low": float(first), "high": float(last)})


def _share(dimension: Dimension, value: float) -> float:
    """Where `value` lies in a range, from 0 to 1; inverse to `_place`."""
    low, high = dimension.range
    if dimension.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def near_configurations(
    project: ProjectFile,
    ranked: Sequence[Configuration],
    seen: Sequence[Configuration],
    count: int,
    seed: int,
) -> list[Configuration]:
    """Up to `count` new configurations near the best; from the whole space where none is left."""
    near = random_configurations(narrowed(project, ranked), seen, count, seed)
    left = count - len(near)
    return near + random_configurations(project, [*seen, *near], left, seed) if left else near


def _take(
    configuration: Configuration,
    project: ProjectFile,
    known: set[str],
    found: list[Configuration],
) -> None:
    """Add a configuration to `found`, unless it is known."""
    short = {name: _short(value, project.search[name]) for name, value in configuration.items()}
    if key_of(short) not in known:
        known.add(key_of(short))
        found.append(short)


def _short(value: Any, dimension: Dimension) -> Any:
    """A value with four significant digits, still in its range: what is shown is what is run."""
    if dimension.values is not None or not isinstance(value, float):
        return value
    low, high = dimension.range
    return min(high, max(low, _rounded(value)))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def key_of(configuration: Mapping[str, Any]) -> str:
    """A text that is equal for equal configurations, 1 and 1.0 being equal."""
    same = {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in configuration.items()
    }
    return json.dumps(same, sort_keys=True)
