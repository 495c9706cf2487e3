"""What a process that answers for sessions remembers of them; all of it can be read again."""

from collections import OrderedDict
from uuid import UUID

from prefect.client.orchestration import PrefectClient

from wildloop.flows.models.evidence import Shown
from wildloop.flows.models.session_record import SessionRecord
from wildloop.flows.store.position import read_stored

LOGS = 8


class SessionMemory:
    """What sessions have shown, where their records do not tell it as it is, and their logs.

    A log is only appended to: of one that was read, only what is new is asked for. Those of the
    eight sessions that were asked for last are kept, some 2 kB a call.
    """

    def __init__(self) -> None:
        self.shown: dict[str, Shown] = {}
        self._logs: OrderedDict[str, dict[UUID, str]] = OrderedDict()

    async def record(self, client: PrefectClient, session_id: str) -> SessionRecord:
        """The whole record of a session, as `read_record`."""
        log = self._logs.setdefault(session_id, {})
        self._logs.move_to_end(session_id)
        if len(self._logs) > LOGS:
            self._logs.popitem(last=False)
        return (await read_stored(client, session_id, log)).record
