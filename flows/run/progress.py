"""The progress bar on the Prefect page of a run that works for long."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterType,
)
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from wildloop.flows.metrics import run_metrics
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.run.execution import Execution
from wildloop.flows.store.runs import RunStore

FIRST_SECONDS = 30.0
NEXT_SECONDS = 60.0
SEEN_SECONDS = 600.0
PROGRESS = "progress"
ALMOST = 99.0
SHOWN = 2

logger = logging.getLogger("wildloop.progress")


@asynccontextmanager
async def shown_progress(
    store: RunStore, execution: Execution, started_at: float | None
) -> AsyncIterator[None]:
    """While entered, the run's page has a bar, if it works for more than half a minute.

    It goes by the time that the session's finished runs took, else by the run's time-out; a run
    with neither has none. It is taken away at the end, when the page of the run itself is there.
    """
    showing = asyncio.create_task(_show(store, execution, started_at or time.time()))
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.wait({showing})
        if execution.control.is_adopted or time.time() - (started_at or 0.0) > FIRST_SECONDS:
            await _take_away(store.client, UUID(execution.run_id))


def expected_seconds(others: Sequence[Run], timeout_seconds: float | None) -> float | None:
    """How long a run will work, by the runs beside it or at most; None: that is not known."""
    took = [
        run.finished_at - run.started_at
        for run in others
        if run.status is RunStatus.FINISHED and run.started_at and run.finished_at
    ]
    return median(took) if took else timeout_seconds


def told(seconds: float, expected: float, last: dict[str, float]) -> tuple[float, str]:
    """The percentage, and one line: how far it is, and its metrics at last.

    A run that takes longer than expected stays just below the end.
    """
    values = [f"{name} {value:.5g}" for name, value in list(last.items())[:SHOWN]]
    text = f"works for {_time(seconds)} of about {_time(expected)}"
    return min(ALMOST, 100.0 * seconds / expected), "; ".join([text, *values])


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


async def _show(store: RunStore, execution: Execution, started_at: float) -> None:
    await asyncio.sleep(FIRST_SECONDS)
    try:
        session = execution.spec.chat_session_id
        others = await store.all(chat_session_id=session, max_age_s=SEEN_SECONDS) if session else []
        expected = expected_seconds(others, execution.spec.timeout_seconds)
        if not expected:
            return
        if execution.control.is_adopted:
            await _take_away(store.client, UUID(execution.run_id))
        shown: UUID | None = None
        while True:
            last = await asyncio.to_thread(run_metrics, execution.paths.root)
            percent, text = told(time.time() - started_at, expected, last)
            shown = await _write(store.client, UUID(execution.run_id), shown, percent, text)
            await asyncio.sleep(NEXT_SECONDS)
    except (httpx.HTTPError, PrefectHTTPStatusError, OSError) as error:
        # The run is what it is without a bar.
        logger.warning("the progress of run %s is not shown: %s", execution.run_id, error)


async def _write(
    client: PrefectClient, flow_run_id: UUID, shown: UUID | None, percent: float, text: str
) -> UUID:
    if shown is not None:
        try:
            await client.update_artifact(shown, ArtifactUpdate(data=percent, description=text))
            return shown
        except ObjectNotFound:
            # Somebody has deleted it.
            pass
    made = await client.create_artifact(
        ArtifactCreate(type=PROGRESS, data=percent, description=text, flow_run_id=flow_run_id)
    )
    return made.id


async def _take_away(client: PrefectClient, flow_run_id: UUID) -> None:
    """Delete the bars of a run; those of a worker before this one too."""
    try:
        found = await client.read_artifacts(
            artifact_filter=ArtifactFilter(
                flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]),
                type=ArtifactFilterType(any_=[PROGRESS]),
            )
        )
        for one in found:
            await client.delete_artifact(one.id)
    except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound) as error:
        logger.warning("the progress of run %s stays shown: %s", flow_run_id, error)
