"""Runs and sessions in memory, as readings of Prefect told them: found by id, tag and status."""

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from prefect.client.schemas.objects import FlowRun, StateType

from wildloop.flows.models.run import Run, RunCounts, RunStatus
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.run_filter import ARCHIVED_TAG, RunFilter
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, to_run
from wildloop.flows.store.states import ACTIVE

FOUND_BY = ("sweep:", "session:", "chat:")
REMEMBERED = 1000
FEW = 20
EARLIEST = datetime.min.replace(tzinfo=UTC)
Order = tuple[datetime, str]


class Reading(NamedTuple):
    """When a flow run was read, in numbers that this process counts up: no clock tells it."""

    begin: int
    end: int

    def is_after(self, other: "Reading") -> bool:
        """Whether it began when the other one had ended."""
        return self.begin > other.end


@dataclass
class Row:
    """A run or session as it was last read; of a session its flow run, of a run what it says."""

    order: Order
    tags: frozenset[str]
    type: StateType | None
    stamp: tuple[object, ...]
    reading: Reading
    run: Run | None = None
    session: FlowRun | None = None
    is_settled: bool = False

    @property
    def is_open(self) -> bool:
        """Whether its state may change by itself."""
        return self.type is None or self.type in (*ACTIVE, StateType.PAUSED)


class RunTable:
    """The last reading of each run and session.

    Whatever order readings come in, those that began later win; of two that overlap, the one that
    the server changed last, and the row is `unsure` until it is read once more.
    """

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.version = 0
        self._active: tuple[int, list[Run]] | None = None
        self.unsure: set[str] = set()
        self.open: set[str] = set()
        self._ordered: list[Order] = []
        self._sessions: list[Order] = []
        self._tagged: dict[str, set[str]] = {}
        self._statuses: dict[RunStatus, set[str]] = {status: set() for status in RunStatus}
        self._gone: OrderedDict[str, Reading] = OrderedDict()

    def take(self, flow_runs: Iterable[FlowRun], reading: Reading) -> None:
        """Take in flow runs that were read; what is neither run nor session is left out."""
        for flow_run in flow_runs:
            id = str(flow_run.id)
            if not self._is_news(id, flow_run, reading):
                continue
            stamp = _stamp(flow_run)
            known = self.rows.get(id)
            if known is not None and known.stamp == stamp:
                known.reading = reading
                continue
            row = _row(flow_run, stamp, reading)
            if known is not None:
                self._take_out(id)
            if row is not None:
                self._put_in(id, row)
            self.version += 1

    def drop(self, ids: Iterable[str], reading: Reading) -> None:
        """Take out what a reading that asked for it did not find: it has been deleted."""
        for id in ids:
            known = self.rows.get(id)
            if known is not None and reading.is_after(known.reading):
                self._take_out(id)
                self.version += 1
            self._gone[id] = reading
            if len(self._gone) > REMEMBERED:
                self._gone.popitem(last=False)

    def run(self, id: str) -> Run | None:
        """A run by its id; None if there is none."""
        row = self.rows.get(id)
        return row.run if row is not None else None

    def session(self, id: str) -> FlowRun | None:
        """The flow run of a session by its own id; None if there is none."""
        row = self.rows.get(id)
        return row.session if row is not None else None

    def settle(self, run: Run, looked_at: Run) -> None:
        """Keep what was found in the folder of a run that has ended, so as not to look again."""
        row = self.rows.get(run.id)
        if row is not None and row.run is run and run.status.is_terminal:
            row.run, row.is_settled = looked_at, True

    def select(self, wanted: RunFilter) -> list[Run]:
        """The runs that match, newest first, `limit` of them after `offset`."""
        found: list[Run] = []
        skipped = wanted.offset
        for id in self._newest(wanted):
            row = self.rows[id]
            if (run := row.run) is None or not wanted.matches(run):
                continue
            if wanted.archived and ARCHIVED_TAG not in row.tags:
                continue
            if skipped:
                skipped -= 1
                continue
            found.append(run)
            if len(found) == wanted.limit:
                break
        return found

    def every(self, wanted: RunFilter) -> list[Run]:
        """All the runs of a sweep or session, oldest first."""
        runs = [self.rows[id].run for id in self._newest(wanted)]
        return [run for run in reversed(runs) if run is not None and wanted.matches(run)]

    def counts(self, wanted: RunFilter) -> RunCounts:
        """How many runs of a sweep, of a session, or at all, have each status."""
        sets = self._sets(wanted)
        of = set.intersection(*sets) if sets else None
        return RunCounts.of(
            {status: len(ids if of is None else ids & of) for status, ids in self._statuses.items()}
        )

    def active(self) -> list[Run]:
        """Every run that waits or holds a slot, oldest first."""
        if self._active is None or self._active[0] != self.version:
            statuses = (RunStatus.QUEUED, RunStatus.LAUNCHING, RunStatus.RUNNING)
            rows = [self.rows[id] for status in statuses for id in self._statuses[status]]
            rows.sort(key=lambda row: row.order)
            self._active = self.version, [row.run for row in rows if row.run is not None]
        return list(self._active[1])

    def sessions(
        self,
        until: datetime,
        types: Sequence[StateType] | None = None,
        tag: str | None = None,
        limit: int | None = None,
    ) -> list[FlowRun]:
        """The newest sessions that begin until then, in these states, with this tag."""
        found: list[FlowRun] = []
        for order in reversed(self._sessions):
            row = self.rows[order[1]]
            assert row.session is not None
            if order[0] > until or (types is not None and row.type not in types):
                continue
            if tag is not None and tag not in row.tags:
                continue
            found.append(row.session)
            if len(found) == limit:
                break
        return found

    def between(self, newest: str | None, oldest: str | None) -> list[str]:
        """The ids that are listed from one to another, both included; None: to that end."""
        after, until = 0, len(self._ordered)
        if oldest is not None:
            after = bisect_left(self._ordered, self.rows[oldest].order)
        if newest is not None:
            until = bisect_left(self._ordered, self.rows[newest].order) + 1
        return [id for _, id in self._ordered[after:until]]

    def _newest(self, wanted: RunFilter) -> Iterator[str]:
        sets = self._sets(wanted)
        if wanted.status is not None:
            sets.append(self._statuses[wanted.status])
        ordered: Iterable[Order] = reversed(self._ordered)
        if sets and min(map(len, sets)) * FEW < len(self._ordered):
            ordered = sorted((self.rows[id].order for id in set.intersection(*sets)), reverse=True)
        elif sets:
            # Of many, the newest are found sooner by a walk than by sorting all of them.
            ordered = (one for one in ordered if all(one[1] in ids for ids in sets))
        before = datetime.fromtimestamp(wanted.before, UTC) if wanted.before is not None else None
        return (id for at, id in ordered if before is None or at < before)

    def _sets(self, wanted: RunFilter) -> list[set[str]]:
        nobody: set[str] = set()
        sets: list[set[str]] = []
        if wanted.sweep_id is not None:
            sets.append(self._tagged.get(f"sweep:{wanted.sweep_id}", nobody))
        if wanted.chat_session_id is not None:
            names = (wanted.chat_session_id, *wanted.also_called)
            found = [self._tagged.get(f"session:{name}", nobody) for name in names]
            sets.append(set().union(*found))
        return sets

    def _is_news(self, id: str, flow_run: FlowRun, reading: Reading) -> bool:
        known, gone = self.rows.get(id), self._gone.get(id)
        if gone is not None and not reading.is_after(gone):
            return False
        if known is None or reading.is_after(known.reading):
            self.unsure.discard(id)
            return True
        if known.reading.is_after(reading):
            return False
        self.unsure.add(id)
        was, now = known.stamp[0], flow_run.updated
        return not isinstance(was, datetime) or (now is not None and now >= was)

    def _put_in(self, id: str, row: Row) -> None:
        self.rows[id] = row
        insort(self._ordered, row.order)
        if row.run is not None:
            self._statuses[row.run.status].add(id)
            for tag in row.tags:
                if tag.startswith(FOUND_BY):
                    self._tagged.setdefault(tag, set()).add(id)
        else:
            insort(self._sessions, row.order)
        if row.is_open:
            self.open.add(id)

    def _take_out(self, id: str) -> None:
        row = self.rows.pop(id)
        del self._ordered[bisect_left(self._ordered, row.order)]
        if row.run is None:
            del self._sessions[bisect_left(self._sessions, row.order)]
        else:
            self._statuses[row.run.status].discard(id)
            for tag in row.tags & self._tagged.keys():
                self._tagged[tag].discard(id)
                if not self._tagged[tag]:
                    del self._tagged[tag]
        self.open.discard(id)
        self.unsure.discard(id)


def _stamp(flow_run: FlowRun) -> tuple[object, ...]:
    """Equal for equal readings; the time of the server's last change alone may have few digits."""
    state = flow_run.state.id if flow_run.state else None
    labels = hash(frozenset((flow_run.labels or {}).items()))
    return (flow_run.updated, state, flow_run.name, frozenset(flow_run.tags), labels)


def _row(flow_run: FlowRun, stamp: tuple[object, ...], reading: Reading) -> Row | None:
    at = flow_run.expected_start_time or flow_run.created or EARLIEST
    row = Row(
        (at, str(flow_run.id)),
        frozenset(flow_run.tags),
        flow_run.state.type if flow_run.state else None,
        stamp,
        reading,
    )
    if EXPERIMENT_TAG in row.tags:
        row.run = to_run(flow_run)
    elif LOOP_TAG in row.tags:
        row.session = flow_run
    else:
        return None
    return row
