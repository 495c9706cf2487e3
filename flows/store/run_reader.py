"""Runs as they stand: from the live picture of this process where it has one, else from Prefect."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.sorting import FlowRunSort

from wildloop.flows.models.run import Run, RunCounts, RunStatus
from wildloop.flows.settings import Settings
from wildloop.flows.store.base import EXPERIMENT, PAGE, Store, every_flow_run, parse_id
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.store.run_index import RunIndex
from wildloop.flows.store.run_mapping import to_run, with_live_metrics
from wildloop.flows.store.run_table import RunTable
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.states import ACTIVE


class RunReader(Store):
    """Reads runs.

    Args:
        client, settings, deployment_ids, session_id: as of `Store`.
        index: a copy of one session's runs, of which `all` then asks only for what has changed.
        seen: the live picture, which answers in Prefect's stead.
    """

    def __init__(
        self,
        client: PrefectClient,
        settings: Settings,
        deployment_ids: dict[str, UUID] | None = None,
        session_id: str | None = None,
        index: RunIndex | None = None,
        seen: Seen | None = None,
    ) -> None:
        super().__init__(client, settings, deployment_ids, session_id)
        self.index = index
        self.seen = seen

    async def get(self, run_id: str) -> Run:
        """Read one run, with its metrics as they stand.

        Raises:
            NotFound: there is no such run.
        """
        table = await self._table()
        run = table.run(str(parse_id("run", run_id))) if table is not None else None
        if table is not None and run is not None:
            return (await _with_metrics(table, [run]))[0]
        run = to_run(await self.read_flow_run("run", run_id, EXPERIMENT))
        return (await with_live_metrics([run]))[0]

    async def peek(self, run_id: str) -> Run:
        """As `get`, without a look into the run's folder."""
        table = await self._table()
        run = table.run(str(parse_id("run", run_id))) if table is not None else None
        return run or to_run(await self.read_flow_run("run", run_id, EXPERIMENT))

    async def select(self, wanted: RunFilter) -> list[Run]:
        """The runs that match, newest first."""
        if (table := await self._table()) is not None:
            return await _with_metrics(table, table.select(wanted))
        runs: list[Run] = []
        offset, skipped = (wanted.offset, 0) if wanted.is_exact else (0, wanted.offset)
        while len(runs) < wanted.limit + skipped:
            page = min(PAGE, wanted.limit + skipped - len(runs))
            flow_runs = await self.client.read_flow_runs(
                flow_run_filter=wanted.query(),
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=page,
                offset=offset,
            )
            runs += [run for run in map(to_run, flow_runs) if wanted.matches(run)]
            offset += len(flow_runs)
            if len(flow_runs) < page:
                break
        return await with_live_metrics(runs[skipped:])

    async def all(
        self,
        *,
        sweep_id: str | None = None,
        chat_session_id: str | None = None,
        also_called: Sequence[str] = (),
        max_age_s: float = 0.0,
    ) -> list[Run]:
        """Every run of a sweep or session (or of one of several), oldest first.

        Those of the session that this store has a copy of may be as they were `max_age_s` ago.
        """
        if self.index is not None and chat_session_id == self.index.session_id is not None:
            found = await self.index.of_session(self.client, self.index.session_id, max_age_s)
            return await with_live_metrics(
                [run for run in found if sweep_id in (None, run.sweep_id)]
            )
        wanted = RunFilter(
            limit=1000,
            sweep_id=sweep_id,
            chat_session_id=chat_session_id,
            also_called=list(also_called),
        )
        if (table := await self._table()) is not None:
            return await _with_metrics(table, table.every(wanted))
        runs: list[Run] = []
        while True:
            page = await self.select(wanted)
            runs += page
            if len(page) < wanted.limit:
                return list(reversed(runs))
            wanted = wanted.model_copy(update={"offset": wanted.offset + wanted.limit})

    async def counts(
        self, *, sweep_id: str | None = None, chat_session_id: str | None = None
    ) -> RunCounts:
        """How many runs of a sweep, of a session, or at all, have each status.

        The ended ones are counted by the server, so this takes as long after 10,000 runs.
        """
        wanted = RunFilter(sweep_id=sweep_id, chat_session_id=chat_session_id)
        if (table := await self._table()) is not None:
            return table.counts(wanted)
        still = [RunStatus.READY, RunStatus.FINISHED, RunStatus.FAILED, RunStatus.STOPPED]
        active, numbers = await asyncio.gather(
            self.active(wanted),
            asyncio.gather(
                *(
                    self.client.count_flow_runs(
                        flow_run_filter=wanted.model_copy(update={"status": status}).query()
                    )
                    for status in still
                )
            ),
        )
        return RunCounts.of(
            Counter(run.status for run in active) + Counter(dict(zip(still, numbers, strict=True)))
        )

    async def active(self, wanted: RunFilter | None = None) -> list[Run]:
        """Every run that waits or holds a slot, oldest first; `wanted` names a sweep or session."""
        if wanted is None and (table := await self._table()) is not None:
            return table.active()
        found = await every_flow_run(self.client, (wanted or RunFilter()).query(ACTIVE))
        return [to_run(flow_run) for flow_run in found]

    async def _table(self) -> RunTable | None:
        return await self.seen.table() if self.seen is not None else None


async def _with_metrics(table: RunTable, runs: list[Run]) -> list[Run]:
    """As `with_live_metrics`; those of ended runs are looked for once."""
    at = [
        number
        for number, run in enumerate(runs)
        if run.started_at is not None and not run.metrics and not table.rows[run.id].is_settled
    ]
    if not at:
        return runs
    found = list(runs)
    for number, run in zip(at, await with_live_metrics([runs[n] for n in at]), strict=True):
        found[number] = run
        table.settle(runs[number], run)
    return found
