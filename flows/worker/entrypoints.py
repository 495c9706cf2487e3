"""Which flow a deployment names: one of Wildloop's, or a team's own."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow
from pydantic import TypeAdapter, ValidationError

from wildloop.flows.experiment import experiment
from wildloop.flows.models.run import RunSpec
from wildloop.flows.news.digest import DIGEST_TAG, digest
from wildloop.flows.research_loop import research_loop
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, spec_of

FRESH_SECONDS = 20.0
OURS = "wildloop.flows."
TAGS: Mapping[str, Flow[Any, Any]] = {
    EXPERIMENT_TAG: experiment,
    LOOP_TAG: research_loop,
    DIGEST_TAG: digest,
}
_SLOTS = TypeAdapter(int)


@dataclass(frozen=True)
class Named:
    """What a deployment names.

    Attributes:
        tag: of the flow, where it is one of Wildloop's; None for a team's own.
        slots: what the deployment's job variables say, for a team's own.
        read_at: when, by the monotonic clock.
    """

    tag: str | None
    slots: int = 0
    read_at: float = 0.0

    @property
    def flow(self) -> Flow[Any, Any] | None:
        """Wildloop's flow; None for a team's own, which runs in a process of its own."""
        return TAGS[self.tag] if self.tag is not None else None


class Entrypoints:
    """What the deployments of a pool name, read anew when that is older than 20 s."""

    def __init__(self) -> None:
        self._known: dict[UUID, Named] = {}

    async def look(self, client: PrefectClient, flow_runs: Sequence[FlowRun]) -> None:
        """Read what is not known of the deployments of these flow runs.

        Where a team's deployment of one of Wildloop's flows has left out the tag by which sessions
        and runs are found, its flow runs are given it.
        """
        now = time.monotonic()
        wanted = {run.deployment_id for run in flow_runs if run.deployment_id is not None}
        stale = [
            id
            for id in wanted
            if (known := self._known.get(id)) is None or now - known.read_at > FRESH_SECONDS
        ]
        await asyncio.gather(*(self._read(client, id) for id in stale))
        for flow_run in flow_runs:
            tag = self.of(flow_run).tag
            if tag is not None and tag not in flow_run.tags:
                flow_run.tags = [*flow_run.tags, tag]
                await client.update_flow_run(flow_run.id, tags=flow_run.tags)

    def of(self, flow_run: FlowRun) -> Named:
        """What a flow run is a run of, as it was known at the last look.

        A flow run whose deployment is gone, or that has none, is told by its tags.
        """
        known = self._known.get(flow_run.deployment_id) if flow_run.deployment_id else None
        return known or Named(next((tag for tag in TAGS if tag in flow_run.tags), None))

    def demand(self, flow_run: FlowRun) -> RunSpec:
        """What a flow run asks for of the GPU limit."""
        named = self.of(flow_run)
        if named.tag == EXPERIMENT_TAG:
            return spec_of(flow_run)
        asked = (flow_run.job_variables or {}).get("slots", named.slots)
        gpus = 0 if named.tag is not None else _count(asked)
        return RunSpec.model_construct(name=flow_run.name, command="", gpus=gpus)

    async def _read(self, client: PrefectClient, id: UUID) -> None:
        try:
            deployment = await client.read_deployment(id)
        except ObjectNotFound:
            self._known.pop(id, None)
            return
        entrypoint = (deployment.entrypoint or "").replace(":", ".")
        tag = next((tag for tag, flow in TAGS.items() if entrypoint == module_path(flow)), None)
        if tag is None and entrypoint.startswith(OURS):
            # Deployed by another version, whose modules had other names.
            tag = next((tag for tag in TAGS if tag in deployment.tags), None)
        slots = _count((deployment.job_variables or {}).get("slots", 0))
        self._known[id] = Named(tag, slots, time.monotonic())


def module_path(flow: Flow[Any, Any]) -> str:
    """The entrypoint of a flow that is imported."""
    return f"{flow.fn.__module__}.{flow.fn.__name__}"


def _count(value: Any) -> int:
    """The slots that job variables ask for; what is none is told when the flow is to begin."""
    try:
        return max(0, _SLOTS.validate_python(value))
    except ValidationError:
        return 0
