"""Steps that a worker has left in Prefect's records when it ended: gone on with, or closed.

Without this a flow run that was taken up again would number its steps anew: its third step from
there would go on in the record of the one that its worker has left Running, and others would run
for ever.
"""

from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import StateType, TaskRun
from prefect.client.schemas.sorting import TaskRunSort
from prefect.context import FlowRunContext
from prefect.states import Crashed

from wildloop.flows.store.base import PAGE, every_flow_run
from wildloop.flows.store.states import in_states

OPEN = [StateType.PENDING, StateType.RUNNING]
CLOSED = "Its worker ended; what it did was taken up again."


async def continue_numbering(client: PrefectClient, flow_run_id: UUID) -> None:
    """Have the steps of the flow that runs here numbered on from those that are recorded.

    Prefect counts the calls of each subflow, from 0 in each process, and finds the record of a
    step by that number (`dynamic_key`). A step that is still Running is gone on with.
    """
    context = FlowRunContext.get()
    assert context is not None, "called within the flow run"
    last: dict[str, tuple[int, bool]] = {}
    for task_run in await _task_runs(client, flow_run_id):
        if not task_run.dynamic_key.isdigit():
            continue
        number = int(task_run.dynamic_key)
        is_open = task_run.state_type in OPEN
        last[task_run.task_key] = max(last.get(task_run.task_key, (-1, False)), (number, is_open))
    for task_key, (number, is_open) in last.items():
        done = number - 1 if is_open else number
        if done >= 0:
            context.task_run_dynamic_keys[task_key] = done


async def close_steps(client: PrefectClient, flow_run_id: UUID) -> None:
    """Note the subflows and tasks of a flow run that are recorded as open as crashed.

    Call it only where none of them runs in this process.
    """
    parent = FlowRunFilterParentFlowRunId(any_=[flow_run_id])
    children = FlowRunFilter(parent_flow_run_id=parent, state=in_states(OPEN))
    for child in await every_flow_run(client, children):
        await close_steps(client, child.id)
        await client.set_flow_run_state(child.id, Crashed(message=CLOSED), force=True)
    for task_run in await _task_runs(client, flow_run_id, OPEN):
        await client.set_task_run_state(task_run.id, Crashed(message=CLOSED), force=True)


async def _task_runs(
    client: PrefectClient, flow_run_id: UUID, types: list[StateType] | None = None
) -> list[TaskRun]:
    state = TaskRunFilterState(type=TaskRunFilterStateType(any_=types)) if types else None
    found: list[TaskRun] = []
    while True:
        page = await client.read_task_runs(
            flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
            task_run_filter=TaskRunFilter(state=state),
            sort=TaskRunSort.EXPECTED_START_TIME_DESC,
            limit=PAGE,
            offset=len(found),
        )
        found += page
        if len(page) < PAGE:
            return found
