"""Upper bounds of what clients may ask for: size of a body, rate of new runs, length of the queue.

An agent's script that creates runs in an endless loop is stopped here, before it fills the
database.
"""

import math
import os
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wildloop.flows.errors import InvalidRequest, TooManyRequests
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.store.states import in_states
from wildloop.shim.auth import agent_session

BODY_VARIABLE = "WILDLOOP_MAX_BODY_BYTES"
RATE_VARIABLE = "WILDLOOP_RUNS_PER_MINUTE"
QUEUE_VARIABLE = "WILDLOOP_MAX_QUEUED_RUNS"
# What creates runs; `{id}` of a path is one segment.
CREATING = re.compile(r"^/(runs|runs/[^/]+/rerun|sweeps|sweeps/[^/]+/(runs|start))$")
BUCKETS = 1000
SWEEP_RUNS = 10
COUNT_AGAIN_S = 30.0
FULL_RETRY_S = 30.0


class Limits(BaseModel):
    """The limits of one server; 0 turns the rate and the queue limit off."""

    model_config = ConfigDict(frozen=True)

    max_body_bytes: int = Field(default=2 * 1024 * 1024, ge=1024)
    runs_per_minute: int = Field(default=120, ge=0, description="Creations a minute a session.")
    max_queued_runs: int = Field(default=10_000, ge=0)

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> "Limits":
        """Read WILDLOOP_MAX_BODY_BYTES, WILDLOOP_RUNS_PER_MINUTE and WILDLOOP_MAX_QUEUED_RUNS.

        Raises:
            InvalidRequest: one of them is not a number in range.
        """
        given = os.environ if variables is None else variables
        fields = {
            "max_body_bytes": BODY_VARIABLE,
            "runs_per_minute": RATE_VARIABLE,
            "max_queued_runs": QUEUE_VARIABLE,
        }
        try:
            return cls.model_validate(
                {field: given[name] for field, name in fields.items() if given.get(name)}
            )
        except ValidationError as error:
            fault = error.errors()[0]
            name = fields[str(fault["loc"][0])]
            raise InvalidRequest(f"{name}='{given[name]}': {fault['msg']}") from error


class BodyLimit:
    """ASGI middleware: refuses a body larger than the limit, also one of unknown length."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self.app = app
        self.limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 413."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length")
        if length is not None:
            # The server reads no more than it was told, so there is nothing to count.
            if not length.isdigit() or int(length) > self.limit_bytes:
                await JSONResponse({"detail": self._text()}, 413)(scope, receive, send)
                return
            await self.app(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit_bytes:
                raise HTTPException(413, self._text())
            return message

        await self.app(scope, counted, send)

    def _text(self) -> str:
        return (
            f"the body is larger than {self.limit_bytes} bytes: send less at a time, or start "
            f"the server with a larger {BODY_VARIABLE}"
        )


class CreationRate:
    """A token bucket for each session: `per_minute` at once, then as many a minute.

    Requests that name no session share one bucket. In memory: after a restart all are full.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, session: str | None) -> None:
        """Count one creation.

        Raises:
            TooManyRequests: the bucket is empty.
        """
        if not self.per_minute:
            return
        key, now = session or "", self._clock()
        left, at = self._buckets.pop(key, (float(self.per_minute), now))
        left = min(self.per_minute, left + (now - at) * self.per_minute / 60)
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > BUCKETS:
            self._buckets.popitem(last=False)
        if left < 1:
            whose = f"session '{session}'" if session else "requests without a chat_session_id"
            raise TooManyRequests(
                f"{whose}: more than {self.per_minute} creations of runs a minute: create fewer "
                "and wait for their ends (a sweep creates many by one request)",
                math.ceil((1 - left) * 60 / self.per_minute),
            )


class QueueLimit:
    """Refuses new runs while too many wait.

    The server is asked only now and then: in between, creations are added up here.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._waiting = 0
        self._counted_at: float | None = None

    async def take(self, count: Callable[[], Awaitable[int]], runs: int = 1) -> None:
        """Count the creation of `runs` runs; `count` tells how many wait.

        Raises:
            TooManyRequests: the queue is full.
        """
        if not self.limit:
            return
        now = self._clock()
        old = self._counted_at is None or now - self._counted_at > COUNT_AGAIN_S
        if old or self._waiting + runs > self.limit:
            self._waiting, self._counted_at = await count(), now
        if self._waiting + runs > self.limit:
            raise TooManyRequests(
                f"{self._waiting} runs are queued, the limit is {self.limit}: wait for some to "
                f"end, stop some, or start the server with a larger {QUEUE_VARIABLE}",
                FULL_RETRY_S,
            )
        self._waiting += runs


class CreationGate:
    """Both limits on creations, of one app."""

    def __init__(self, limits: Limits) -> None:
        self.rate = CreationRate(limits.runs_per_minute)
        self.queue = QueueLimit(limits.max_queued_runs)


async def limit_creations(request: Request) -> None:
    """Dependency of every path: lets creations of runs pass, or not.

    Raises:
        TooManyRequests: too many a minute, or too many wait.
    """
    if request.method != "POST" or not CREATING.match(request.url.path):
        return
    gate: CreationGate = request.app.state.creations
    body = await _body_of(request)
    session = agent_session(request.scope) or body.get("chat_session_id")
    gate.rate.take(session if isinstance(session, str) else None)
    # A grid is one request and many runs. What a sweep's start queues is seen at the next count.
    most = body.get("max_runs", SWEEP_RUNS) if request.url.path == "/sweeps" else 1
    client: PrefectClient = request.app.state.client
    number = max(1, most) if isinstance(most, int) else 1
    await gate.queue.take(lambda: queued_runs(client), number)


async def queued_runs(client: PrefectClient) -> int:
    """How many runs wait in the queue."""
    return await client.count_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[EXPERIMENT_TAG]),
            state=in_states([StateType.SCHEDULED]),
        )
    )


async def _body_of(request: Request) -> dict[str, Any]:
    """The body, if it is an object. Whether it is right is for the route to say."""
    try:
        body: Any = await request.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
