"""What all stores share: the Prefect client, ids, links."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentFlowRunCreate
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.states import to_state_create
from pydantic import BaseModel

from wildloop.flows.errors import NotFound, Unavailable
from wildloop.flows.models.researcher_name import called, researcher_in, session_in
from wildloop.flows.settings import Settings

EXPERIMENT = "experiment"
RESEARCH_LOOP = "research-loop"
LOOP_TAG = f"wildloop:{RESEARCH_LOOP}"
PLACE_TAG = "wildloop:place:"
# Of a session that waits: why no host takes it.
WAITS_LABEL = "wildloop.session.waits"
DEPLOYMENT = "wildloop"
NIGHTLY = "nightly"
MORNING = "morning"
# Of a server that can make several flow runs by one request; the client has no method for it.
BULK_PATH = "/deployments/{id}/create_flow_run/bulk"
# One transaction makes so many, and others who write wait for its end.
BULK_SIZE = 25
PAGE = 200
# Whoever creates a flow run puts a time on it: their clocks may differ by so much.
CLOCK_SLACK = timedelta(minutes=1)


B = TypeVar("B", bound=BaseModel)


class Store:
    """Base of the stores: translates between one resource and Prefect.

    Args:
        client: the Prefect client.
        settings: of this process.
        deployment_ids: filled as deployments are looked up; stores that share one ask less.
        session_id: the session that all it creates belongs to, whatever a request names; None: as
            requests say.
    """

    def __init__(
        self,
        client: PrefectClient,
        settings: Settings,
        deployment_ids: dict[str, UUID] | None = None,
        session_id: str | None = None,
    ) -> None:
        self.client = client
        self.session_id = session_id
        self.settings = settings
        self.deployment_ids = {} if deployment_ids is None else deployment_ids

    def in_session(self, body: B) -> B:
        """A request for a run or sweep, in the session that it is to belong to."""
        if self.session_id is None:
            return body
        number = researcher_in(self.session_id)
        if number is None:
            number = researcher_in(getattr(body, "chat_session_id", None))
        name = called(session_in(self.session_id), number)
        return body.model_copy(update={"chat_session_id": name})

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

    async def create_flow_runs(
        self,
        flow_name: str,
        drafts: Sequence[dict[str, Any]],
        goes_on: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Create flow runs of `flow_name/wildloop` in their order, several by each request.

        Each draft holds the fields of `create_flow_run`, an idempotency key among them. Those that
        the server does not make so are made one by one. Between two requests `goes_on` is asked;
        once it says no, the rest is not made.

        Raises:
            Unavailable: as `deployment_id`.
        """
        for first in range(0, len(drafts), BULK_SIZE):
            if first and goes_on is not None and not await goes_on():
                return
            batch = drafts[first : first + BULK_SIZE]
            for draft, made in zip(batch, await self.bulk(flow_name, batch), strict=True):
                if made is None:
                    await self.create_flow_run(flow_name, **draft)

    async def bulk(
        self, flow_name: str, drafts: Sequence[dict[str, Any]]
    ) -> list[dict[str, Any] | None]:
        """What was made (or was there already) by one request: `flow_run_id`; None: was not made.

        Raises:
            Unavailable: as `deployment_id`.
        """
        try:
            answer = await self.client.request(
                "POST",
                cast(Any, BULK_PATH),
                path_params={"id": await self.deployment_id(flow_name)},
                json=[_creation(draft) for draft in drafts],
            )
        except PrefectHTTPStatusError as error:
            if error.response.status_code >= 500:
                raise
            # An older server, or the deployment was replaced since it was looked up.
            return [None] * len(drafts)
        results = answer.json()["results"]
        return [result if result["status"] == "CREATED" else None for result in results]

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


def _creation(draft: dict[str, Any]) -> dict[str, Any]:
    """What Prefect's client sends for these fields of `create_flow_run`."""
    body = DeploymentFlowRunCreate(**draft | {"state": to_state_create(draft["state"])})
    return body.model_dump(mode="json", exclude_unset=True)


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


def artifact_url(key: str) -> str | None:
    """Where the Prefect UI shows the versions of this artifact."""
    base = get_current_settings().ui_url
    return f"{base}/artifacts/key/{key}" if base else None


async def every_flow_run(client: PrefectClient, wanted: FlowRunFilter) -> list[FlowRun]:
    """All the flow runs that match, page by page, oldest first."""
    found: list[FlowRun] = []
    while True:
        page = await client.read_flow_runs(
            flow_run_filter=wanted,
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=PAGE,
            offset=len(found),
        )
        found += page
        if len(page) < PAGE:
            return found[::-1]
