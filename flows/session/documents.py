"""The calls and decisions of a session as its log has them; what is as it was is kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from wildloop.flows.models.keep import Verdict
from wildloop.flows.models.session_record import IterationRecord, LogEntry, SessionRecord


class _Written(NamedTuple):
    """How a call or decision was stored; it is held, so that no other gets its place in memory."""

    one: IterationRecord | Verdict
    number: int
    values: Mapping[str, Any]
    lists: Sequence[str]
    lengths: Sequence[int]
    document: str

    def entry(self) -> LogEntry:
        """It, with its place."""
        return _entry(self.one, self.number)

    def is_still(self, number: int, values: Mapping[str, Any]) -> bool:
        """Whether it is as it was. A list may have grown; a model within it is never changed."""
        return (
            self.number == number
            and self.values == values
            and self.lengths == [len(values[name]) for name in self.lists]
        )


class Documents:
    """What stands in the log of a session, without writing out anew what has not changed.

    A session of hundreds of iterations wrote all of them out at each of its steps, only to see that
    one is new.
    """

    def __init__(self) -> None:
        self._written: dict[int, _Written] = {}

    def of(self, record: SessionRecord) -> dict[str, Callable[[], LogEntry]]:
        """What makes each entry, by how it is stored; calls first."""
        before, self._written = self._written, {}
        found: dict[str, Callable[[], LogEntry]] = {}
        for number, one in _numbered(record):
            known = before.get(id(one))
            if known is None or not known.is_still(number, one.__dict__):
                known = _written(one, number)
            self._written[id(one)] = known
            found[known.document] = known.entry
        return found


def _numbered(record: SessionRecord) -> Iterator[tuple[int, IterationRecord | Verdict]]:
    yield from enumerate(record.iterations)
    yield from enumerate(record.keep.verdicts)


def _entry(one: IterationRecord | Verdict, number: int) -> LogEntry:
    if isinstance(one, Verdict):
        return LogEntry.model_construct(number=number, verdict=one)
    return LogEntry.model_construct(number=number, call=one)


def _written(one: IterationRecord | Verdict, number: int) -> _Written:
    values = dict(vars(one))
    lists = [name for name, value in values.items() if isinstance(value, list | dict)]
    lengths = [len(values[name]) for name in lists]
    return _Written(one, number, values, lists, lengths, _entry(one, number).document)
