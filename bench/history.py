"""Recorded runs: ended runs of the experiment deployment, as Wildloop records them.

They are made through Prefect's API in their final state, with the parameters, tags and labels of
true runs. What a true run leaves besides (its earlier states, its task run, its events, its folder)
is not made: no list reads it.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from bench.processes import BenchError
from bench.subjects import WildloopSubject
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.run import RunFacts, RunSpec
from wildloop.flows.settings import RUNS_QUEUE
from wildloop.flows.store.base import DEPLOYMENT, EXPERIMENT
from wildloop.flows.store.run_mapping import LABEL_PREFIX, run_tags
from wildloop.shim.database import has_postgres

CLIENTS = 4
BATCH = 50
SWEEP_SIZE = 20
SEEDED = 1000
"""Recorded runs that are made through the API; more are copies of them in the database."""
COPIES = (
    """CREATE TEMP TABLE copies ON COMMIT DROP AS
    SELECT f.id AS old, gen_random_uuid() AS id, gen_random_uuid() AS state_id, n
    FROM flow_run f, generate_series(1, {count}) n WHERE f.state_type = 'COMPLETED'
    LIMIT {count} - (SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED')""",
    """INSERT INTO flow_run SELECT (jsonb_populate_record(f, jsonb_build_object(
        'id', c.id, 'state_id', NULL, 'idempotency_key', NULL, 'name', f.name || '-' || n,
        'created', f.created - n * interval '1 minute',
        'expected_start_time', f.expected_start_time - n * interval '1 minute'))).*
    FROM copies c JOIN flow_run f ON f.id = c.old""",
    """INSERT INTO flow_run_state SELECT (jsonb_populate_record(s, jsonb_build_object(
        'id', c.state_id, 'flow_run_id', c.id))).*
    FROM copies c JOIN flow_run f ON f.id = c.old JOIN flow_run_state s ON s.id = f.state_id""",
    "UPDATE flow_run f SET state_id = c.state_id FROM copies c WHERE f.id = c.id",
    "ANALYZE flow_run, flow_run_state",
)


def fill(
    subject: WildloopSubject,
    count: int,
    seconds: float,
    sweep_ids: Sequence[str] | None = None,
) -> None:
    """Record `count` finished runs; the subject has to be started anew to know all of them.

    Args:
        subject: started.
        count: how many.
        seconds: how long may be taken for those that the API makes.
        sweep_ids: as for `seed`.

    Raises:
        BenchError: there was not enough time.
    """
    first = min(count, SEEDED) if has_postgres(subject.home) else count
    made = seed(subject.prefect_api_url, subject.folder / "project", first, seconds, sweep_ids)
    if made < first:
        raise BenchError(f"only {made} runs were recorded within {seconds:g} s")
    if first < count:
        multiply(subject.database_url, count)


def seed(
    prefect_api_url: str,
    workdir: Path,
    count: int,
    seconds: float,
    sweep_ids: Sequence[str] | None = None,
) -> int:
    """Record `count` finished runs; return how many there were time for in `seconds`.

    With `sweep_ids` these sweeps have as many of them each; without, every twenty are one's.

    Raises:
        httpx.HTTPError: the server refuses one.
    """
    return asyncio.run(_seed(prefect_api_url, workdir, count, seconds, sweep_ids))


def multiply(database_url: str, count: int) -> None:
    """Copy the finished runs of a PostgreSQL until there are `count` of them.

    A hundred thousand through the API would take three quarters of an hour. Each copy has an id,
    a state, a name and times of its own. Who holds runs in memory has to be started anew.

    Args:
        database_url: as Prefect takes it.
        count: how many in the end; at least one is there.
    """
    asyncio.run(_multiply(database_url, count))


async def _multiply(url: str, count: int) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        async with connection.transaction():
            for statement in COPIES:
                await connection.execute(statement.format(count=count))
    finally:
        await connection.close()


async def _seed(
    url: str, workdir: Path, count: int, seconds: float, sweep_ids: Sequence[str] | None
) -> int:
    deadline, batches, made = time.monotonic() + seconds, iter(range(0, count, BATCH)), 0
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        named = await http.get(f"/deployments/name/{EXPERIMENT}/{DEPLOYMENT}")
        path = f"/deployments/{named.raise_for_status().json()['id']}/create_flow_run/bulk"

        async def record() -> None:
            nonlocal made
            for first in batches:
                if time.monotonic() > deadline:
                    return
                bodies = [
                    recorded_run(
                        number, workdir, sweep_ids[number % len(sweep_ids)] if sweep_ids else None
                    )
                    for number in range(first, min(first + BATCH, count))
                ]
                answer = await http.post(path, json=bodies)
                results = answer.raise_for_status().json()["results"]
                made += sum(result["status"] == "CREATED" for result in results)

        await asyncio.gather(*(record() for _ in range(CLIENTS)))
    return made


def recorded_run(number: int, workdir: Path, sweep_id: str | None = None) -> dict[str, Any]:
    """The body that creates finished run `number`; without a sweep, every twenty are one's."""
    ended = time.time() - 1.0
    spec = RunSpec(
        name=f"recorded-{number}",
        command=f"python train.py --lr={1e-3 * (number % 7 + 1):g} --seed={number}",
        workdir=str(workdir),
        parameters={"lr": 1e-3 * (number % 7 + 1), "batch_size": 32, "depth": number % 5},
        seed=number,
        sweep_id=sweep_id or f"bench-{number // SWEEP_SIZE}",
    )
    facts = RunFacts(
        started_at=ended - 60.0,
        finished_at=ended,
        exit_code=0,
        host="localhost",
        gpus="0",
        run_dir=str(RunPaths.of(workdir, f"recorded-{number}").root),
        git_commit="0" * 40,
        metrics='{"loss": 0.25, "val_accuracy": 0.96}',
    )
    labels = facts.model_dump(exclude_none=True)
    return {
        "name": spec.name,
        "parameters": {"spec": spec.model_dump(mode="json", exclude_defaults=True)},
        "tags": run_tags(spec),
        "labels": {LABEL_PREFIX + key: value for key, value in labels.items()},
        "work_queue_name": RUNS_QUEUE,
        "state": {"type": "COMPLETED", "name": "Completed", "message": "exit code 0"},
    }
