"""Where a session stands, read back from the artifacts that its flow writes.

`position-<session>` is small and rewritten in place. `iteration-log-<session>` is appended to: a
version for each call and each decision. Before, there was no position, and each step wrote the
whole record as a version of the log: such sessions are read as well, and written on in the new
form.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import PrefectClient

from wildloop.flows.metrics.contract import changed_contract
from wildloop.flows.models.contract import ContractChange, SessionContract
from wildloop.flows.models.session_record import (
    IterationRecord,
    LogEntry,
    SessionRecord,
    SessionSummary,
    whole_record,
)
from wildloop.flows.store import artifacts

POSITION_KEY = "position-"
LOG_KEY = "iteration-log-"


@dataclass(frozen=True)
class Stored:
    """A record as it is stored; `version` is the artifact that is its position.

    Without one, it is stored as before, or not yet.
    """

    record: SessionRecord
    version: UUID | None = None


async def read_stored(
    client: PrefectClient, session_id: str, log: dict[UUID, str] | None = None
) -> Stored:
    """The whole record of a session; a new one where none was written yet.

    Args:
        client: the Prefect client.
        session_id: the session.
        log: what was read of its log before; what is new is added to it.
    """
    # The position goes first: what is appended to the log meanwhile is none of it.
    found = await artifacts.latest(client, POSITION_KEY + session_id)
    if (position := found.get(POSITION_KEY + session_id)) is None:
        old = await _read_old(client, session_id)
        return Stored(old or SessionRecord(session_id=session_id))
    summary = SessionSummary.model_validate_json(artifacts.record_of(position))
    versions = await artifacts.appended(client, LOG_KEY + session_id, {} if log is None else log)
    return Stored(whole_record(summary, _entries(versions)), position.latest_id)


async def read_record(client: PrefectClient, session_id: str) -> SessionRecord:
    """As `read_stored`, the record alone."""
    return (await read_stored(client, session_id)).record


async def read_summaries(
    client: PrefectClient, session_ids: Sequence[str]
) -> dict[str, SessionSummary | SessionRecord]:
    """What the lists show of sessions; the record itself of those that are stored as before."""
    found = await artifacts.latest(client, *[POSITION_KEY + id for id in session_ids])
    summaries: dict[str, SessionSummary | SessionRecord] = {
        key.removeprefix(POSITION_KEY): SessionSummary.model_validate_json(
            artifacts.record_of(position)
        )
        for key, position in found.items()
    }
    missing = [LOG_KEY + id for id in session_ids if id not in summaries]
    for key in await artifacts.latest(client, *missing):
        id = key.removeprefix(LOG_KEY)
        if (record := await _read_old(client, id)) is not None:
            summaries[id] = record
    return summaries


async def read_summary(client: PrefectClient, session_id: str) -> SessionSummary | SessionRecord:
    """As `read_summaries`, of one; a new one where none was written yet."""
    found = await read_summaries(client, [session_id])
    return found.get(session_id) or SessionSummary(session_id=session_id)


async def read_last_calls(
    client: PrefectClient, session_id: str, number: int
) -> list[IterationRecord]:
    """The last calls that are in the log, at most `number`, oldest first.

    Those of a session that is stored as before are in its record.
    """
    # A call is written anew when something is noted of it later, and decisions lie between.
    versions = await artifacts.versions(client, LOG_KEY + session_id, 2 * number)
    calls = {one.number: one.call for one in _entries(versions) if one.call is not None}
    return [calls[at] for at in sorted(calls)][-number:]


async def change_record(
    client: PrefectClient,
    session_id: str,
    contract: SessionContract,
    change: ContractChange,
    now: float,
) -> None:
    """Change the contract of a session that has ended; what it was before stays in the history."""
    stored = await read_stored(client, session_id)
    record, key = stored.record, (POSITION_KEY if stored.version else LOG_KEY) + session_id
    record.contract = changed_contract(contract, change, now)
    record.keep.begin_anew()
    found = await artifacts.latest(client, key)
    kept = record.summary(record.totals) if stored.version else record
    await artifacts.write(
        client,
        key,
        text=artifacts.text_of(found[key]) if key in found else "",
        description=(found[key].description or "") if key in found else "",
        record=kept.model_dump_json(),
        flow_run_id=UUID(session_id),
    )


async def _read_old(client: PrefectClient, session_id: str) -> SessionRecord | None:
    """The last whole record in a log; None where there is none.

    Entries lie above it where a crash came between them and the first position.
    """
    key = LOG_KEY + session_id
    found = await artifacts.latest(client, key)
    if key not in found:
        return None
    if (record := _old_record(artifacts.record_of(found[key]))) is not None:
        return record
    documents = reversed(await artifacts.versions(client, key))
    return next((old for one in documents if (old := _old_record(one)) is not None), None)


def _old_record(document: str) -> SessionRecord | None:
    """The whole record in a version of the log; None where it is an entry."""
    record = json.loads(document)
    return SessionRecord.model_validate(record) if "session_id" in record else None


def _entries(versions: Sequence[str]) -> list[LogEntry]:
    """The entries among the versions of a log that may have begun with whole records."""
    found = [json.loads(document) for document in versions]
    return [LogEntry.model_validate(one) for one in found if "number" in one]
