"""The digest of the morning: a schedule of Prefect's on the deployment `digest/morning`."""

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.schedules import CronSchedule
from pydantic import BaseModel, Field

from wildloop.flows.errors import NoneYet
from wildloop.flows.news.digest import DIGEST, HOURS
from wildloop.flows.store.base import MORNING
from wildloop.flows.worker import daily
from wildloop.flows.worker.daily import cron_schedule, deployment_named, next_start, time_of

NAME = f"{DIGEST}/{MORNING}"


class Morning(BaseModel):
    """When a digest is sent by itself, and to whom."""

    at: str = Field(description="HH:MM, by the clock of `timezone`.", examples=["07:30"])
    timezone: str = Field(examples=["Europe/Berlin"])
    hours: float = Field(default=HOURS, gt=0, description="How far it looks back.")
    to: list[str] | None = Field(default=None, description="Names of channels; None: all.")
    active: bool = True
    next_at: float | None = Field(default=None, description="Unix seconds of the next one.")


async def switch_on(client: PrefectClient, morning: Morning) -> Morning:
    """Have a digest sent every day; what was set before is replaced.

    Raises:
        InvalidRequest: the time or the timezone is wrong.
    """
    schedule = cron_schedule(morning.at, morning.timezone)
    update = DeploymentUpdate(parameters={"hours": morning.hours, "to": morning.to})
    await daily.switch_on(client, NAME, schedule, update)
    return await read(client)


async def switch_off(client: PrefectClient) -> Morning:
    """Switch the schedule off; what was set stays."""
    await daily.switch_off(client, NAME)
    return await read(client)


async def read(client: PrefectClient) -> Morning:
    """What is set.

    Raises:
        NoneYet: nothing was ever set.
    """
    found = await deployment_named(client, NAME)
    schedules = [one for one in found.schedules if isinstance(one.schedule, CronSchedule)]
    schedules.sort(key=lambda one: not one.active)
    if not schedules:
        raise NoneYet("no digest is scheduled: wildloop digest on --at 07:30")
    one = schedules[0]
    assert isinstance(one.schedule, CronSchedule)
    return Morning(
        at=time_of(one.schedule.cron),
        timezone=one.schedule.timezone or "UTC",
        hours=found.parameters.get("hours") or HOURS,
        to=found.parameters.get("to"),
        active=one.active and not found.paused,
        next_at=await next_start(client, found) if one.active else None,
    )
