"""What starts by itself every day: one schedule of Prefect's on a deployment of its own."""

import re

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType as State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from wildloop.flows.errors import InvalidRequest, NoneYet
from wildloop.flows.worker.deployments import ensure_deployments


def cron_of(at: str) -> str:
    """The cron line of a time of day.

    Raises:
        InvalidRequest: it is no time of day.
    """
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", at.strip())
    if match is None:
        raise InvalidRequest(f"at: '{at}' is no time of day: give it as HH:MM, like 22:00")
    return f"{int(match[2])} {int(match[1])} * * *"


def time_of(cron: str) -> str:
    """The time of day of a cron line; the line itself where it is not once every day."""
    found = re.fullmatch(r"([0-9]+) ([0-9]+) \* \* \*", " ".join(cron.split()))
    return f"{int(found[2]):02d}:{int(found[1]):02d}" if found else cron


def cron_schedule(at: str, timezone: str) -> CronSchedule:
    """Every day at a time of day.

    Raises:
        InvalidRequest: time or timezone is wrong.
    """
    try:
        return CronSchedule(cron=cron_of(at), timezone=timezone)
    except ValueError as error:
        raise InvalidRequest(
            f"timezone: '{timezone}' is not known: give a name like Europe/Berlin"
        ) from error


async def deployment_named(client: PrefectClient, name: str) -> DeploymentResponse:
    """The deployment, by `flow/deployment`.

    Raises:
        NoneYet: it is not on the server.
    """
    try:
        return await client.read_deployment_by_name(name)
    except ObjectNotFound as error:
        raise NoneYet(f"there is no deployment {name}: run `wildloop deploy`") from error


async def switch_on(
    client: PrefectClient, name: str, schedule: CronSchedule, update: DeploymentUpdate
) -> None:
    """Start a deployment by this schedule; what was set before is replaced.

    Args:
        client: the Prefect client.
        name: `flow/deployment`; the schedule's slug is the deployment's own name.
        schedule: when.
        update: what else is set on the deployment.
    """
    await ensure_deployments(client)
    found = await deployment_named(client, name)
    for one in found.schedules:
        await client.delete_deployment_schedule(found.id, one.id)
    await client.update_deployment(found.id, update)
    slug = name.rpartition("/")[2]
    created = DeploymentScheduleCreate(schedule=schedule, active=True, slug=slug)
    await client.create_deployment_schedules(found.id, [created])


async def switch_off(client: PrefectClient, name: str) -> None:
    """Switch a deployment's schedules off; what was set stays."""
    found = await deployment_named(client, name)
    for one in found.schedules:
        await client.update_deployment_schedule(found.id, one.id, active=False)


async def next_start(client: PrefectClient, found: DeploymentResponse) -> float | None:
    """When a deployment's schedule starts it next, in Unix seconds."""
    runs = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[found.id]),
            state={"type": FlowRunFilterStateType(any_=[State.SCHEDULED])},
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=1,
    )
    expected = runs[0].expected_start_time if runs else None
    return expected.timestamp() if expected else None
