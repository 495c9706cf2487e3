"""Queued runs by the thousand: copies of one that was asked for, put into the database itself.

Asked for one by one, 10,000 take minutes of both cores before anything can be measured. A copy has
the rows that a queued run has, the flow run and its state; the event that tells of it is left out.
"""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from bench.processes import BenchError
from wildloop.shim.database import find_postgres, has_postgres, sqlite_file

Row = dict[str, Any]
SPACING = timedelta(milliseconds=1)
BUSY_SECONDS = 60.0


def queue_copies(home: Path, run_id: str, count: int, first: int = 0) -> None:
    """Queue `count` copies of queued run `run_id`, each a millisecond after the one before.

    Args:
        home: of a server that runs.
        run_id: of a run that waits; it may have begun by the time it is copied.
        count: how many.
        first: the number of the first: theirs are the places in the queue.

    Raises:
        BenchError: there is no such run.
    """
    if count > 0:
        copy = _into_postgres if has_postgres(home) else _into_sqlite
        copy(home, run_id, range(first + 1, first + count + 1))


def database_bytes(home: Path) -> int:
    """What the database takes on the disk, its log for a crash included."""
    if has_postgres(home):
        return sum(file.stat().st_size for file in _files(home / "postgres" / "data"))
    path = sqlite_file(home)
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def _into_postgres(home: Path, run_id: str, numbers: Sequence[int]) -> None:
    asyncio.run(_copy_in_postgres(home, run_id, numbers))


async def _copy_in_postgres(home: Path, run_id: str, numbers: Sequence[int]) -> None:
    place = find_postgres(home)
    connection = await asyncpg.connect(
        host=str(place.socket_dir),
        port=5432,
        user="wildloop",
        database="postgres",
        password=place.secret.read_text(encoding="ascii").strip(),
    )
    try:
        find = "SELECT r.* FROM flow_run r WHERE r.id = $1"
        flow_run = await connection.fetchrow(find, UUID(run_id))
        scheduled = "SELECT * FROM flow_run_state WHERE flow_run_id = $1 AND type = 'SCHEDULED'"
        state = await connection.fetchrow(scheduled, UUID(run_id))
        runs, states = _copies(flow_run, state, numbers, _later)
        async with connection.transaction():
            for table, rows in (("flow_run", runs), ("flow_run_state", states)):
                await connection.copy_records_to_table(
                    table,
                    records=[tuple(row.values()) for row in rows],
                    columns=list(rows[0]),
                )
            await connection.execute(
                "UPDATE flow_run SET state_id = s.id FROM flow_run_state s "
                "WHERE s.flow_run_id = flow_run.id AND flow_run.state_id IS NULL"
            )
        await connection.execute("ANALYZE flow_run")
    finally:
        await connection.close()


def _into_sqlite(home: Path, run_id: str, numbers: Sequence[int]) -> None:
    with closing(sqlite3.connect(sqlite_file(home), timeout=BUSY_SECONDS)) as connection:
        connection.row_factory = sqlite3.Row
        find = "SELECT * FROM flow_run WHERE id = ?"
        flow_run = connection.execute(find, (run_id,)).fetchone()
        scheduled = "SELECT * FROM flow_run_state WHERE flow_run_id = ? AND type = 'SCHEDULED'"
        state = connection.execute(scheduled, (run_id,)).fetchone()
        runs, states = _copies(flow_run, state, numbers, _later_text)
        with connection:
            for table, rows in (("flow_run", runs), ("flow_run_state", states)):
                names = ", ".join(f'"{name}"' for name in rows[0])
                places = ", ".join(f":{name}" for name in rows[0])
                connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", rows)
            connection.execute(
                "UPDATE flow_run SET state_id = (SELECT s.id FROM flow_run_state s "
                "WHERE s.flow_run_id = flow_run.id) WHERE state_id IS NULL"
            )


def _copies(
    flow_run: Mapping[str, Any] | None,
    state: Mapping[str, Any] | None,
    numbers: Sequence[int],
    later: Any,
) -> tuple[list[Row], list[Row]]:
    """The rows of the copies: as the run was before anybody took it up."""
    if flow_run is None or state is None:
        raise BenchError("the run to be copied is not in the database")
    kept, of_state = dict(flow_run), dict(state)
    is_text = not isinstance(kept["id"], UUID)
    kept |= {"state_type": "SCHEDULED", "state_name": "Scheduled", "infrastructure_pid": None}
    kept |= {"start_time": None, "end_time": None, "run_count": 0, "state_id": None}
    kept |= {"state_timestamp": of_state["timestamp"], "idempotency_key": None}
    if kept.get("labels") is not None:
        kept["labels"] = json.dumps(_before(json.loads(kept["labels"])))
    due = kept["expected_start_time"]
    runs, states = [], []
    for number in numbers:
        id: Any = uuid4()
        state_id: Any = uuid4()
        id, state_id = (str(id), str(state_id)) if is_text else (id, state_id)
        at = later(due, number)
        times = {"expected_start_time": at, "next_scheduled_start_time": at}
        runs.append(kept | times | {"id": id, "name": f"copy-{number}"})
        states.append(of_state | {"id": state_id, "flow_run_id": id})
    return runs, states


def _before(labels: dict[str, Any]) -> dict[str, Any]:
    """The labels that a run has before it begins."""
    return {name: value for name, value in labels.items() if not name.startswith("wildloop.")}


def _later(due: datetime, number: int) -> datetime:
    return due + SPACING * number


def _later_text(due: str, number: int) -> str:
    return (datetime.fromisoformat(due) + SPACING * number).strftime("%Y-%m-%d %H:%M:%S.%f")
