"""The nightly session: a schedule of Prefect's on the deployment `research-loop/nightly`.

What the session is to do lies in the deployment's parameters: Prefect (3.9.1) empties those of a
schedule when it is switched on or off. prefect.yaml does not name this deployment, since
`prefect deploy --all` sets whatever it names back.
"""

from typing import Any, Literal

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule
from pydantic import BaseModel, Field

from wildloop.flows.errors import NoneYet
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.store.base import NIGHTLY, RESEARCH_LOOP
from wildloop.flows.worker import daily
from wildloop.flows.worker.daily import cron_schedule, deployment_named, next_start, time_of

NAME = f"{RESEARCH_LOOP}/{NIGHTLY}"
Overlap = Literal["wait", "skip"]
STRATEGIES = {
    "wait": ConcurrencyLimitStrategy.ENQUEUE,
    "skip": ConcurrencyLimitStrategy.CANCEL_NEW,
}


class Nightly(BaseModel):
    """When a session starts by itself, and what it is to do."""

    at: str = Field(description="HH:MM, by the clock of `timezone`.", examples=["22:00"])
    timezone: str = Field(examples=["Europe/Berlin"])
    parameters: dict[str, Any] = Field(description="Of the session, as for the research loop.")
    overlap: Overlap = Field(
        default="wait", description="What a night does while the one before still works."
    )
    active: bool = True
    next_at: float | None = Field(default=None, description="Unix seconds of the next start.")


async def switch_on(client: PrefectClient, nightly: Nightly) -> Nightly:
    """Have a session start every night; what was set before is replaced.

    Raises:
        InvalidRequest: the time, the timezone or a parameter is wrong.
    """
    SessionSpec.of_parameters(nightly.parameters)
    update = DeploymentUpdate(
        parameters=nightly.parameters,
        concurrency_limit=1,
        concurrency_options=ConcurrencyOptions(collision_strategy=STRATEGIES[nightly.overlap]),
    )
    await daily.switch_on(client, NAME, cron_schedule(nightly.at, nightly.timezone), update)
    return await read(client)


async def switch_off(client: PrefectClient) -> Nightly:
    """Switch the schedule off; what was set stays, and a session that works goes on."""
    await daily.switch_off(client, NAME)
    return await read(client)


async def read(client: PrefectClient) -> Nightly:
    """What is set.

    Raises:
        NoneYet: nothing was ever set.
    """
    found = await deployment_named(client, NAME)
    schedules = [one for one in found.schedules if isinstance(one.schedule, CronSchedule)]
    schedules.sort(key=lambda one: (not one.active, one.slug != NIGHTLY))
    if not schedules:
        raise NoneYet("no nightly session is set: wildloop nightly --goal TEXT --at 22:00")
    one = schedules[0]
    assert isinstance(one.schedule, CronSchedule)
    options = found.concurrency_options
    skips = options is not None and options.collision_strategy == STRATEGIES["skip"]
    return Nightly(
        at=time_of(one.schedule.cron),
        timezone=one.schedule.timezone or "UTC",
        parameters={**found.parameters, **one.parameters},
        overlap="skip" if skips else "wait",
        active=one.active and not found.paused,
        next_at=await next_start(client, found) if one.active else None,
    )
