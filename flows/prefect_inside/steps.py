"""The subflows of one flow run, made with half the requests from the second of its kind on."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect._internal.engine import resolve_custom_flow_run_name
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import FlowRunCreate
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy, State
from prefect.context import FlowRunContext, TagsContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flows import Flow
from prefect.states import Pending, to_state_create
from prefect.tasks import Task

from wildloop.flows.prefect_inside.engine import KnowingEngine


@dataclass
class _Kind:
    """What is known of a flow whose runs were steps before.

    Args:
        flow_id: of the flow.
        task: what stands for its runs in the graph of the flow run that they are steps of.
    """

    flow_id: UUID
    task: "Task[Any, Any]"


@dataclass
class Steps:
    """Calls the subflows of one flow run. Shared by the steps of a session in one process."""

    kinds: dict[str, _Kind] = field(default_factory=dict)

    async def run(self, flow: Flow[Any, Any], parameters: dict[str, Any]) -> "State[Any]":
        """Call a flow as a step of the flow run that runs here; return its last state.

        The first of its kind is made by Prefect's engine, which goes on with one that an earlier
        process has left. For each later one that engine would read the flow's source and hash it,
        look for a flow run that cannot be there, register the flow again, and name the flow run
        once it is made.

        Args:
            flow: the flow, with `flow_run_name`.
            parameters: of the call, JSON.
        """
        engine = _StepEngine(flow=flow, parameters=parameters)
        engine.steps = self
        async with engine.start():
            while engine.is_running():
                async with engine.run_context():
                    # Prefect's annotation names the coroutine that it has awaited already.
                    await engine.call_flow_fn()  # type: ignore[unused-coroutine]
        return engine.state


class _StepEngine(KnowingEngine):
    steps: Steps

    async def create_flow_run(self, client: PrefectClient) -> FlowRun:
        known = self.steps.kinds.get(self.flow.name)
        if known is not None:
            try:
                return await self._create(client, known)
            except PrefectHTTPStatusError:
                # Somebody has deleted the flow, maybe: Prefect's engine registers it again.
                del self.steps.kinds[self.flow.name]
        flow_run = await super().create_flow_run(client)
        task: Task[Any, Any] = Task(name=self.flow.name, fn=self.flow.fn, version=self.flow.version)
        # As Prefect marks the task that stands for a subflow.
        task._is_subflow_tracking_task = True  # type: ignore[attr-defined]
        self.steps.kinds[self.flow.name] = _Kind(flow_run.flow_id, task)
        return flow_run

    async def _create(self, client: PrefectClient, known: _Kind) -> FlowRun:
        context, parameters = FlowRunContext.get(), self.parameters or {}
        assert context is not None, "a step is called within a flow run"
        task_run = await known.task.create_run(
            client=client, flow_run_context=context, parameters=parameters
        )
        made = FlowRunCreate(
            flow_id=known.flow_id,
            flow_version=self.flow.version,
            name=resolve_custom_flow_run_name(flow=self.flow, parameters=parameters),
            parameters=self.flow.serialize_parameters(parameters),
            tags=list(TagsContext.get().current_tags),
            parent_task_run_id=task_run.id,
            state=to_state_create(Pending()),
            empirical_policy=FlowRunPolicy(retries=0, retry_delay=0),
        )
        answer = await client.request(
            "POST", "/flow_runs/", json=made.model_dump(mode="json", exclude_unset=True)
        )
        self._flow_run_name_set = True
        flow_run = FlowRun.model_validate(answer.json())
        flow_run.parameters = parameters
        return flow_run
