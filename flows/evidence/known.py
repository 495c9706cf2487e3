"""What the account before has found, so that the next one computes what is new alone."""

from collections.abc import Callable, Hashable, Sequence
from operator import is_
from typing import Any, TypeVar

T = TypeVar("T")


class Known:
    """Results by what they were made from; those that an account did not ask for are dropped.

    A session of hundreds of iterations makes its account anew twice in each, of runs that have
    ended long ago. A result holds as long as its inputs are the very same objects: runs that have
    ended are, and whoever changes one makes a copy.
    """

    def __init__(self) -> None:
        self._before: dict[Hashable, tuple[Sequence[object], Any]] = {}
        self._now: dict[Hashable, tuple[Sequence[object], Any]] = {}

    def begin(self) -> None:
        """Begin another account."""
        self._before, self._now = self._now, {}

    def keep(self) -> None:
        """Have the account after this one find what the one before has found."""
        self._now = self._before | self._now

    def get(self, key: Hashable, inputs: Sequence[object], make: Callable[[], T]) -> T:
        """What `make` gives, or gave for the same key and the same inputs.

        Args:
            key: names the result, with all that it depends on and that can be hashed.
            inputs: what else it is made from; compared by identity. They must not change.
            make: computes it.
        """
        found = self._now.get(key) or self._before.get(key)
        if found is None or not _are_same(found[0], inputs):
            found = (inputs, make())
        self._now[key] = found
        result: T = found[1]
        return result

    def put(self, key: Hashable, inputs: Sequence[object], result: object) -> None:
        """Have `get` give this result from now on."""
        self._now[key] = (inputs, result)


def _are_same(some: Sequence[object], others: Sequence[object]) -> bool:
    return len(some) == len(others) and all(map(is_, some, others))
