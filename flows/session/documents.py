"""The calls and decisions of a session as its log has them, each written out once."""

from typing import NamedTuple

from wildloop.flows.models.keep import Verdict
from wildloop.flows.models.session_record import IterationRecord, LogEntry, SessionRecord

UNSETTLED = 32
"""The last calls, and the last decisions, of which something may be noted yet."""


class _Settled(NamedTuple):
    """How a call or decision is stored; it is held, so that no other gets its place in memory."""

    one: IterationRecord | Verdict
    number: int
    document: str


class Documents:
    """What stands in the log of a session; what is settled is not written out anew.

    Each step of a long night wrote all of its calls out, only to see whether one is another now.
    """

    def __init__(self) -> None:
        self._settled: dict[int, _Settled] = {}

    def of(self, record: SessionRecord) -> dict[str, LogEntry]:
        """The entries by how they are stored, calls first."""
        settled: dict[int, _Settled] = {}
        found: dict[str, LogEntry] = {}
        calls, verdicts = record.iterations, record.keep.verdicts
        for number, call in enumerate(calls):
            is_open = number >= len(calls) - UNSETTLED
            entry = LogEntry(number=number, call=call)
            found[self._document(call, entry, is_open, settled)] = entry
        for number, one in enumerate(verdicts):
            is_open = number >= len(verdicts) - UNSETTLED or not one.applied
            entry = LogEntry(number=number, verdict=one)
            found[self._document(one, entry, is_open, settled)] = entry
        self._settled = settled
        return found

    def _document(
        self,
        one: IterationRecord | Verdict,
        entry: LogEntry,
        is_open: bool,
        settled: dict[int, _Settled],
    ) -> str:
        if is_open:
            return entry.document
        before = self._settled.get(id(one))
        if before is None or before.number != entry.number:
            before = _Settled(one, entry.number, entry.document)
        settled[id(one)] = before
        return before.document
