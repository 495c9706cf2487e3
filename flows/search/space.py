"""A search space: the unit cube, Optuna's distributions, and command lines.

A configuration has three forms. *Parameters* are JSON values by flag: what is shown, stored and
run. A *point* is a vector in the unit cube, where the samplers calculate; a choice takes the cell
of its index there. Optuna knows a choice by its index, since it takes no lists as categories.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from pydantic import JsonValue

from wildloop.flows.models.evo import Choice, Range, contains, key_of

DIGITS = 6

Parameters = dict[str, JsonValue]


class Space:
    """The dimensions of a search, in a fixed order."""

    def __init__(self, dimensions: Mapping[str, Choice | Range]) -> None:
        self.dimensions = dict(dimensions)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The dimensions in Optuna's terms."""
        return {name: _distribution(one) for name, one in self.dimensions.items()}

    @property
    def size(self) -> int | None:
        """How many configurations there are; None if uncountable."""
        counts = [_count(one) for one in self.dimensions.values()]
        return math.prod(one for one in counts if one is not None) if None not in counts else None

    def decode(self, point: Sequence[float]) -> Parameters:
        """The parameters at a point; six significant digits: what is shown is what is run."""
        return {
            name: _decode(one, float(share))
            for (name, one), share in zip(self.dimensions.items(), point, strict=True)
        }

    def encode(self, parameters: Mapping[str, JsonValue]) -> list[float]:
        """The point of `parameters`, inverse to `decode` up to rounding."""
        return [_encode(one, parameters[name]) for name, one in self.dimensions.items()]

    def to_optuna(self, parameters: Mapping[str, JsonValue]) -> dict[str, float | int]:
        """Parameters as Optuna takes them."""
        return {
            name: _index(one, parameters[name])
            if isinstance(one, Choice)
            else _number(parameters[name])
            for name, one in self.dimensions.items()
        }

    def of_optuna(self, parameters: Mapping[str, float | int]) -> Parameters:
        """Parameters from Optuna's."""
        return {
            name: one.values[int(parameters[name])]
            if isinstance(one, Choice)
            else _rounded(one, parameters[name])
            for name, one in self.dimensions.items()
        }

    def contains(self, parameters: Mapping[str, JsonValue]) -> bool:
        """Whether these are parameters of this space, all of them and no others."""
        return parameters.keys() == self.dimensions.keys() and all(
            contains(one, parameters[name]) for name, one in self.dimensions.items()
        )

    def configurations(self) -> Iterator[Parameters]:
        """Every configuration of a countable space, in order."""
        axes = [_members(one) for one in self.dimensions.values()]
        for values in product(*axes):
            yield dict(zip(self.dimensions, values, strict=True))


def key_of_parameters(parameters: Mapping[str, JsonValue]) -> str:
    """A text that is equal for equal configurations."""
    return key_of(dict(parameters))


def _distribution(dimension: Choice | Range) -> BaseDistribution:
    if isinstance(dimension, Choice):
        return CategoricalDistribution(list(range(len(dimension.values))))
    if dimension.int:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def _count(dimension: Choice | Range) -> int | None:
    if isinstance(dimension, Choice):
        return len(dimension.values)
    return int(dimension.high) - int(dimension.low) + 1 if dimension.int else None


def _members(dimension: Choice | Range) -> Sequence[JsonValue]:
    if isinstance(dimension, Choice):
        return dimension.values
    return range(int(dimension.low), int(dimension.high) + 1)


def _edges(dimension: Range) -> tuple[float, float]:
    """Bounds on the axis of the unit cube; whole numbers get cells of their own."""
    margin = 0.5 if dimension.int else 0.0
    low, high = dimension.low - margin, dimension.high + margin
    return (math.log(low), math.log(high)) if dimension.log else (low, high)


def _decode(dimension: Choice | Range, share: float) -> JsonValue:
    share = min(max(share, 0.0), 1.0)
    if isinstance(dimension, Choice):
        count = len(dimension.values)
        return dimension.values[min(count - 1, int(share * count))]
    low, high = _edges(dimension)
    value = low + share * (high - low)
    return _rounded(dimension, math.exp(value) if dimension.log else value)


def _rounded(dimension: Range, value: float) -> float | int:
    if dimension.int:
        return min(max(round(value), int(dimension.low)), int(dimension.high))
    short = float(f"{value:.{DIGITS}g}")
    # Rounding must neither leave the range nor fold a narrow one into few values.
    coarse = not dimension.low <= short <= dimension.high or (
        (dimension.high - dimension.low) < 10 ** (3 - DIGITS) * abs(value)
    )
    return min(max(value, dimension.low), dimension.high) if coarse else short


def _encode(dimension: Choice | Range, value: JsonValue) -> float:
    if isinstance(dimension, Choice):
        return (_index(dimension, value) + 0.5) / len(dimension.values)
    low, high = _edges(dimension)
    number = _number(value)
    place = math.log(number) if dimension.log else number
    return min(max((place - low) / (high - low), 0.0), 1.0)


def _index(dimension: Choice, value: JsonValue) -> int:
    key = key_of(value)
    return next(i for i, one in enumerate(dimension.values) if key_of(one) == key)


def _number(value: JsonValue) -> float | int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value
