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

import httpx

from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.run import RunFacts, RunSpec
from wildloop.flows.settings import RUNS_QUEUE
from wildloop.flows.store.base import DEPLOYMENT, EXPERIMENT
from wildloop.flows.store.run_mapping import LABEL_PREFIX, run_tags

CLIENTS = 4
BATCH = 50
SWEEP_SIZE = 20


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
