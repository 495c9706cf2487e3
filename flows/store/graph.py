"""A session's runs in the graph of its flow run, as children of one subflow of it.

Prefect draws a flow run as a child where it has a task run of the parent as its own parent, which
is what `run_deployment` makes one for each child for. Here one stands for all runs of a session:
it costs no request of a run's own. It belongs to a subflow that is Completed from the beginning,
not to the session itself: Prefect's server cancels what is a child of a cancelled flow run, but
runs may go on when their session is stopped.
"""

from uuid import UUID, uuid5

from prefect import flow, task
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentTaskRunId
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed

from wildloop.flows.models.own_runs import session_behind

NAMESPACE = UUID("c1c1a1f2-6d0e-5f3c-8b36-2f7b0f3a9d51")
GROUP, ANCHOR = "runs", "run"
GROUP_NAME = "of the session"


@flow(name="runs")
def runs_of_a_session() -> None:
    """Never called: what the runs of a session hang on to."""


@task(name="runs", task_run_name="runs")
def runs_of_it() -> None:
    """Never called: where they hang on to it."""


def anchor_id(session_id: str) -> UUID:
    """The task run that the runs of a session have as their parent."""
    return uuid5(NAMESPACE, f"{ANCHOR}:{session_id}")


async def make_anchor(client: PrefectClient, session_id: str) -> None:
    """Make what the runs of a session hang on to; all of it is made once, however often asked.

    Raises:
        PrefectHTTPStatusError: the server refuses it.
    """
    done: State[None] = Completed(message="The runs of the session are its children.")
    group = await client.create_task_run(
        runs_of_it,
        UUID(session_id),
        dynamic_key=GROUP,
        id=uuid5(NAMESPACE, f"{GROUP}:{session_id}"),
        name=GROUP,
    )
    children = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            parent_task_run_id=FlowRunFilterParentTaskRunId(any_=[group.id])
        ),
        limit=1,
    )
    found = children or [
        await client.create_flow_run(
            runs_of_a_session,
            name=GROUP_NAME,
            tags=[f"session:{session_id}"],
            parent_task_run_id=group.id,
            state=done,
        )
    ]
    await client.create_task_run(
        runs_of_it,
        found[0].id,
        dynamic_key=ANCHOR,
        id=anchor_id(session_id),
        name=ANCHOR,
    )


class Anchors:
    """Which sessions have something that their runs hang on to, as far as this process knows."""

    def __init__(self) -> None:
        self._known: set[UUID] = set()

    async def find(self, client: PrefectClient, session: str | None) -> UUID | None:
        """The parent of a new run of a session; None where there is none.

        Args:
            client: the Prefect client.
            session: the id that the run belongs to, or was made for.
        """
        if session is None:
            return None
        id = anchor_id(session_behind(session))
        if id not in self._known:
            try:
                await client.read_task_run(id)
            except ObjectNotFound:
                return None
            self._known.add(id)
        return id

    def forget(self, id: UUID | None) -> None:
        """Ask the server again when it is needed next: somebody may have deleted it."""
        if id is not None:
            self._known.discard(id)
