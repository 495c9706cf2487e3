"""The live picture as one request sees it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, StateType

from wildloop.flows.models.run import Run
from wildloop.flows.store.base import CLOCK_SLACK
from wildloop.flows.store.owners import find_session, the_one_meant
from wildloop.flows.store.picture import Picture
from wildloop.flows.store.run_filter import RunFilter
from wildloop.flows.store.run_table import RunTable

T = TypeVar("T")


class Seen:
    """Answers from the picture, and tells afterwards from when the oldest part of them was.

    Args:
        picture: of this process.
    """

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self.as_of: float | None = None

    async def table(self) -> RunTable | None:
        """The table as it may be told now; None while it is being filled: Prefect is asked then.

        Raises:
            httpx.HTTPError, PrefectAway: Prefect does not answer.
        """
        return await self.whole() if self._picture.is_filled else None

    async def whole(self) -> RunTable:
        """As `table`, and waits while it is being filled."""
        await self._picture.fresh()
        self._note(self._picture.as_of_wall)
        return self._picture.table

    async def recent(
        self, key: str, read: Callable[[], Awaitable[T]], *, of_table: bool = False
    ) -> T:
        """What `read` finds, at most a second ago, and after all that this process has written.

        Args:
            key: names the question.
            read: finds the answer.
            of_table: the answer is made from the table: it changes with it.
        """
        changes = (self._picture.writes, self._picture.table.version if of_table else 0)
        found, at = await self._picture.recent.get(key, changes, read)
        self._note(at)
        return found

    async def lasting(self, key: str, read: Callable[[], Awaitable[T]], seconds: float) -> T:
        """What `read` finds of what only people change elsewhere, at most so many seconds ago."""
        found, _ = await self._picture.recent.get(key, None, read, seconds)
        return found

    def changed(self) -> None:
        """This process has changed something beside Prefect that answers tell of."""
        self._picture.wrote_beside()

    async def by_session(self, client: PrefectClient) -> Mapping[str, list[Run]]:
        """The runs of each session as they stand, oldest first; each looked up when it is asked."""
        return _Grouped(await self.whole(), lambda id: RunFilter(chat_session_id=id))

    async def by_sweep(self, client: PrefectClient) -> Mapping[str, list[Run]]:
        """As `by_session`, those of each sweep."""
        return _Grouped(await self.whole(), lambda id: RunFilter(sweep_id=id))

    async def session(self, client: PrefectClient, name: str) -> FlowRun | None:
        """The session that is meant, as `find_session` finds it.

        Raises:
            Conflict: several sessions' ids begin so.
        """
        if (table := await self.table()) is not None:
            until = datetime.max.replace(tzinfo=UTC)
            found = the_one_meant(
                name,
                table.session,
                lambda tag, limit: table.sessions(until, tag=tag, limit=limit),
            )
            if found is not None:
                return found
        # Another process may have begun it a moment ago.
        return await find_session(client, name)

    async def sessions(self, types: list[StateType] | None, limit: int) -> list[FlowRun]:
        """The newest sessions in these states. Those of coming nights are none yet."""
        until = datetime.now(UTC) + CLOCK_SLACK
        return (await self.whole()).sessions(until, types, limit=limit)

    def _note(self, at: float) -> None:
        self.as_of = at if self.as_of is None else min(self.as_of, at)


class _Grouped(Mapping[str, list[Run]]):
    """Runs by what they belong to, found only where they are asked for."""

    def __init__(self, table: RunTable, wanted: Callable[[str], RunFilter]) -> None:
        self._table, self._wanted = table, wanted

    def __getitem__(self, id: str) -> list[Run]:
        if not (found := self._table.every(self._wanted(id))):
            raise KeyError(id)
        return found

    def __iter__(self) -> Iterator[str]:
        raise TypeError("ask for one of them")

    def __len__(self) -> int:
        raise TypeError("ask for one of them")
