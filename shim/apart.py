"""What the agent of a session may do by HTTP: read the project, and write into its own session.

Every route is closed to agents until it is opened, by `openapi_extra=READ` or `=OWN`. One
dependency of all routes keeps to it; the stores put what an agent creates into its session.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from fastapi import Request
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from wildloop.flows.errors import NotAllowed
from wildloop.flows.models.alert import AlertKind
from wildloop.flows.prompt.catalog import AGENTS as MARK
from wildloop.flows.settings import Settings
from wildloop.flows.store.alerts import AlertStore
from wildloop.flows.store.base import EXPERIMENT, LOOP_TAG
from wildloop.flows.store.owners import session_id_of
from wildloop.flows.store.run_mapping import to_run
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.states import session_status
from wildloop.flows.store.sweeps import SweepStore
from wildloop.shim.auth import agent_session, is_open
from wildloop.shim.deps import get_seen

READ: dict[str, Any] = {MARK: "read"}
"""A route's `openapi_extra`: agents may call it, whatever it is asked for."""
OWN: dict[str, Any] = {MARK: "own"}
"""A route's `openapi_extra`: agents may call it for what belongs to their own session."""


async def keep_apart(request: Request) -> None:
    """Dependency of every path: an agent goes no further than its session.

    Raises:
        NotAllowed: the session has ended, the path is closed to agents, or an id in it or in its
            body is of another session.
        NotFound: there is no such run, sweep or alert.
    """
    agent = agent_session(request.scope)
    if agent is None or is_open(request.method, request.url.path):
        return
    client: PrefectClient = request.app.state.client
    own = await _living(await get_seen(request), client, agent)
    access = (getattr(request.scope.get("route"), "openapi_extra", None) or {}).get(MARK)
    if access == READ[MARK]:
        return
    if access != OWN[MARK]:
        raise NotAllowed(
            f"{request.method} {request.url.path} is for the user: an agent's token reads the "
            "project, and creates, starts and stops runs and sweeps of its own session"
        )
    owners = Owners(client, request.app.state.settings)
    for name, id in [*request.path_params.items(), *(await _ids_of(request)).items()]:
        owner = await owners.of(name, str(id))
        if owner not in own:
            whose = f"session '{owner}'" if owner else "no session"
            raise NotAllowed(
                f"{name}: '{id}' belongs to {whose}: an agent's token writes into its own session, "
                f"'{agent}', only"
            )


class Owners:
    """Which session each thing belongs to."""

    def __init__(self, client: PrefectClient, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._by_name: Mapping[str, Callable[[str], Awaitable[str | None]]] = {
            "run_id": self._of_run,
            "sweep_id": self._of_sweep,
            "alert_id": self._of_alert,
            "session_id": self._of_session,
            "chat_session_id": self._of_session,
        }

    async def of(self, name: str, id: str) -> str | None:
        """The session that a run, sweep, alert or session belongs to; None: to none."""
        find = self._by_name.get(name)
        if find is None:
            raise NotAllowed(f"{name}: whose it is cannot be told, so that it is for the user")
        return await find(id)

    async def _of_session(self, name: str) -> str:
        return await session_id_of(self._client, name)

    async def _of_run(self, id: str) -> str | None:
        store = RunStore(self._client, self._settings)
        return to_run(await store.read_flow_run("run", id, EXPERIMENT)).chat_session_id

    async def _of_sweep(self, id: str) -> str | None:
        return (await SweepStore(self._client, self._settings).record(id)).chat_session_id

    async def _of_alert(self, id: str) -> str | None:
        alert = await AlertStore(self._client, self._settings).get(id)
        if alert.kind is AlertKind.APPROVAL:
            raise NotAllowed(f"alert_id: '{id}' asks for the user's approval: no agent gives it")
        return alert.session_id


async def _living(seen: Seen, client: PrefectClient, session_id: str) -> frozenset[str]:
    """The ids of a session that lives: its own, and that of another front end."""
    gone = NotAllowed(f"session '{session_id}' has ended, and its agent's token with it")
    try:
        table = await seen.table()
        known = table.session(session_id) if table is not None else None
        flow_run = known or await client.read_flow_run(UUID(session_id))
    except (ValueError, ObjectNotFound) as error:
        raise gone from error
    if LOOP_TAG not in flow_run.tags or session_status(flow_run.state).is_terminal:
        raise gone
    other = flow_run.parameters.get("chat_session_id")
    return frozenset({session_id, *([str(other)] if other else [])})


async def _ids_of(request: Request) -> dict[str, str]:
    """The ids in a body by which something would be written into a session or sweep."""
    try:
        body: Any = await request.json()
    except (ValueError, RecursionError):
        # What is wrong with it is for the route to say.
        return {}
    if not isinstance(body, dict):
        return {}
    names = ("chat_session_id", "session_id", "sweep_id")
    return {name: body[name] for name in names if isinstance(body.get(name), str)}
