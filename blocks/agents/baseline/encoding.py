"""Configurations as points, where likeness is distance; and many of them at once, as shares.

A *share* says where a value lies in its dimension, from 0 to 1: what is drawn and moved. A *point*
is what the Gaussian process compares: ranges and lists of numbers by their place, and a column for
each value of any other list. What does not matter in a configuration lies where the baseline does.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wildloop.blocks.agents.baseline.config import Dimension, ProjectFile
from wildloop.blocks.agents.baseline.search import Configuration, placed, share_of

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
OUTSIDE = 0.5
"""How far a baseline outside its range may lie beside the unit interval."""


class Cube:
    """The space of a project as a unit cube."""

    def __init__(self, project: ProjectFile) -> None:
        self._project = project
        self.dimensions = list(project.search.values())
        self._base = project.base()
        self._sizes = [len(_places(one, self._base[n])) for n, one in project.search.items()]
        self.columns: NDArray[np.int64] = np.repeat(np.arange(len(self._sizes)), self._sizes)
        self.cells = np.array([_cell(one) for one in self.dimensions])
        """The least step that makes another value, of each dimension; 0 where any does."""
        self.ordered: Mask = np.array([is_ordered(one) for one in self.dimensions])

    def points(self, configurations: Sequence[Configuration]) -> Array:
        """A point a row."""
        names = self._project.search.items()
        rows = [[p for n, one in names for p in _places(one, c[n])] for c in configurations]
        return np.array(rows)

    def shares(self, configuration: Configuration) -> Array:
        """Where its values lie; in the middle what lies nowhere."""
        names = self._project.search.items()
        return np.array(
            [share_of(d, configuration[n]) if d.has(configuration[n]) else 0.5 for n, d in names]
        )

    def points_at(self, shares: Array) -> Array:
        """The points of configurations that are given by their shares, a row each."""
        active = self._active(shares)
        parts = []
        for number, (name, one) in enumerate(self._project.search.items()):
            places = _places_at(one, shares[:, number])
            idle = np.array(_places(one, self._base[name]))
            parts.append(np.where(active[name][:, None], places, idle))
        return np.hstack(parts)

    def configuration(self, shares: Array) -> Configuration:
        """The configuration at one row of shares."""
        names = self._project.search.items()
        found = {n: placed(one, float(s)) for (n, one), s in zip(names, shares, strict=True)}
        return self._project.plain(found)

    def _active(self, shares: Array) -> dict[str, Mask]:
        """Whether each parameter matters, by name, of each row."""
        names = list(self._project.search)
        found: dict[str, Mask] = {}

        def active(name: str) -> Mask:
            if name in found:
                return found[name]
            mask: Mask = np.ones(len(shares), dtype=bool)
            found[name] = mask
            for parent, allowed in self._project.search[name].when.items():
                base = self._project.baseline[parent] in allowed
                if parent not in names:
                    mask = mask & base
                    continue
                given = _is_among(
                    self._project.search[parent], shares[:, names.index(parent)], allowed
                )
                mask = mask & np.where(active(parent), given, base)
            found[name] = mask
            return mask

        return {name: active(name) for name in names}


def is_ordered(dimension: Dimension) -> bool:
    """Whether a dimension is a range, or a list of three numbers or more in their order."""
    values = dimension.values
    if values is None:
        return True
    return len(values) > 2 and all(map(_is_number, values)) and list(values) == sorted(values)


def _cell(dimension: Dimension) -> float:
    if dimension.values is not None:
        return 1 / len(dimension.values)
    low, high = dimension.range
    return 1 / (high - low) if dimension.int and not dimension.log else 0.0


def _indices(dimension: Dimension, shares: Array) -> NDArray[np.int64]:
    count = len(dimension.values or [])
    return np.minimum(count - 1, (shares * count).astype(np.int64))


def _numbers(dimension: Dimension, shares: Array) -> Array:
    """The values of a range at these shares."""
    low, high = dimension.range
    found = low * (high / low) ** shares if dimension.log else low + (high - low) * shares
    return np.round(found) if dimension.int else found


def _is_among(dimension: Dimension, shares: Array, allowed: Sequence[Any]) -> Mask:
    if dimension.values is not None:
        known = np.array([one in allowed for one in dimension.values])
        return known[_indices(dimension, shares)]
    return np.isin(_numbers(dimension, shares), [one for one in allowed if _is_number(one)])


def _places_at(dimension: Dimension, shares: Array) -> Array:
    if dimension.values is not None:
        table = np.array([_places(dimension, one) for one in dimension.values])
        found: Array = table[_indices(dimension, shares)]
        return found
    if not dimension.int:
        return shares[:, None]
    low, high = dimension.range
    numbers = _numbers(dimension, shares)
    if dimension.log:
        return (np.log(numbers / low) / math.log(high / low))[:, None]
    return ((numbers - low) / (high - low))[:, None]


def _places(dimension: Dimension, value: Any) -> list[float]:
    values = dimension.values
    if values is None:
        return [_share(dimension, value)]
    if is_ordered(dimension):
        number = value if _is_number(value) else values[0]
        return [float(np.interp(number, values, np.linspace(0, 1, len(values))))]
    # Different values of a list are all equally far from one another, at a distance of 1.
    return [math.sqrt(0.5) * (value == one and type(value) is type(one)) for one in values]


def _share(dimension: Dimension, value: Any) -> float:
    if not _is_number(value) or (dimension.log and value <= 0):
        return -OUTSIDE
    return min(max(share_of(dimension, value), -OUTSIDE), 1 + OUTSIDE)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
