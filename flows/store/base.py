"""What all stores share: the Prefect client, ids, links."""

from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from flows.errors import NotFound, Unavailable
from flows.settings import Settings

EXPERIMENT = "experiment"
RESEARCH_LOOP = "research-loop"
DEPLOYMENT = "wildloop"
NIGHTLY = "nightly"


class Store:
    """Base of the stores: translates between one resource and Prefect.

    Args:
        client: the Prefect client.
        settings: of this process.
        deployment_ids: filled as deployments are looked up; stores that share one ask less.
    """

    def __init__(
        self,
        client: PrefectClient,
        settings: Settings,
        deployment_ids: dict[str, UUID] | None = None,
    ) -> None:
        self.client = client
        self.settings = settings
        self.deployment_ids = {} if deployment_ids is None else deployment_ids

    async def deployment_id(self, flow_name: str, name: str = DEPLOYMENT) -> UUID:
        """The id of deployment `flow_name/name`.

        Raises:
            Unavailable: it is not registered (no worker has been started, nothing deployed).
        """
        key = f"{flow_name}/{name}"
        if key in self.deployment_ids:
            return self.deployment_ids[key]
        try:
            found = await self.client.read_deployment_by_name(key)
        except ObjectNotFound as error:
            raise Unavailable(
                f"deployment '{flow_name}/{name}' is not registered: start a worker "
                "(`wildloop up`) or run `wildloop deploy`"
            ) from error
        self.deployment_ids[key] = found.id
        return found.id

    async def create_flow_run(self, flow_name: str, **fields: Any) -> FlowRun:
        """Create a flow run of deployment `flow_name/wildloop`.

        Raises:
            Unavailable: as `deployment_id`.
        """
        for _ in range(2):
            id = await self.deployment_id(flow_name)
            try:
                return await self.client.create_flow_run_from_deployment(id, **fields)
            except ObjectNotFound:
                # Deployed anew since it was looked up.
                self.deployment_ids.clear()
        raise Unavailable(f"deployment '{flow_name}' is being replaced: try again")

    async def read_flow_run(self, kind: str, id: str, deployment: str) -> FlowRun:
        """Read flow run `id` of flow `deployment`; NotFound if it is no such thing."""
        try:
            flow_run = await self.client.read_flow_run(parse_id(kind, id))
        except ObjectNotFound as error:
            raise NotFound(kind, id) from error
        tag = f"wildloop:{deployment}"
        if tag not in flow_run.tags:
            raise NotFound(kind, id)
        return flow_run


def parse_id(kind: str, id: str) -> UUID:
    """The UUID behind a public id; NotFound for anything else."""
    try:
        return UUID(id)
    except (ValueError, AttributeError, TypeError) as error:
        raise NotFound(kind, id) from error


def flow_run_url(id: UUID | str) -> str | None:
    """Where the Prefect UI shows this flow run."""
    base = get_current_settings().ui_url
    return f"{base}/runs/flow-run/{id}" if base else None
