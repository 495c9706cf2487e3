"""Prefect's flow engine, for flow runs that are driven inside the worker's event loop."""

import copy
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.flows import Flow
from prefect.states import Running


class KnowingEngine(AsyncFlowRunEngine[Any, Any]):
    """Goes by the flow run that it has just set to Running.

    Prefect's engine reads it once more before it calls the flow, to have what the server counts.
    """

    @asynccontextmanager
    async def setup_run_context(self, client: PrefectClient | None = None) -> AsyncIterator[None]:
        """Prefect's, with the answer to its one question at hand."""
        assert self.flow_run is not None
        begun = self.flow_run.model_copy(update={"run_count": self.flow_run.run_count + 1})
        asked = copy.copy(client or self.client)

        async def known(flow_run_id: UUID) -> FlowRun:
            del asked.read_flow_run
            return begun

        asked.read_flow_run = known  # type: ignore[method-assign]
        async with super().setup_run_context(asked):
            yield


class _GivenEngine(KnowingEngine):
    """Takes a flow run as it was given.

    Prefect's engine first writes the flow's version and number of retries into it, by a request
    of its own: our flows have none of either.
    """

    given: FlowRun

    async def create_flow_run(self, client: PrefectClient) -> FlowRun:
        return self.given


class _ClosingEngine(AsyncFlowRunEngine[Any, Any]):
    """Calls the flow of a flow run that is Cancelling.

    Prefect's server lets such a flow run become nothing but Cancelled, so that its engine leaves
    without calling the flow. But only the flow knows what it has left behind, a command or an
    agent, and ends it. So it runs as if it were Running, for this process alone.
    """

    async def begin_run(self) -> "State[Any]":
        assert self.flow_run is not None
        self.parameters = self.flow.validate_parameters(self.parameters or {})
        state: State[Any] = Running()
        self.flow_run.state = state
        return state


async def run_to_end(flow: Flow[Any, Any], flow_run: FlowRun) -> "State[Any]":
    """Run a flow in this event loop and return its last state.

    One that is Cancelling when it is taken up is called as well: its control has been told to stop.

    The engine is not told the deployment: with it, it starts a thread, an event loop and a
    websocket for each flow run, and blocks this loop meanwhile, to see suspensions. Who calls this
    watches for them.
    """
    flow_run = flow_run.model_copy(update={"deployment_id": None})
    parameters = dict(flow_run.parameters)
    engine: AsyncFlowRunEngine[Any, Any]
    if flow_run.state is None or not flow_run.state.is_cancelling():
        # Until the flow runs, this engine tells nothing but where a flow run is that it has made.
        quiet = logging.Logger("wildloop.engine", logging.WARNING)
        engine = _GivenEngine(flow=flow, parameters=parameters, logger=quiet)
        engine.given = flow_run
    else:
        engine = _ClosingEngine(flow=flow, parameters=parameters, flow_run=flow_run)
    async with engine.start():
        while engine.is_running():
            async with engine.run_context():
                # Prefect's annotation names the coroutine that it has awaited already.
                await engine.call_flow_fn()  # type: ignore[unused-coroutine]
    return engine.state
