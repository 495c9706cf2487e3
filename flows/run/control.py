"""How a flow run learns from its worker that it is to stop, pause or let go."""

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from enum import StrEnum
from typing import Any, TypeVar
from weakref import WeakSet

from wildloop.blocks.launchers.choice import Launchers
from wildloop.flows.guards.book import GuardBook
from wildloop.flows.run.environment import EnvironmentRecorder

T = TypeVar("T")


class StopReason(StrEnum):
    """Why a flow run is to end before its time."""

    CANCEL = "cancel"
    PAUSE = "pause"
    SHUTDOWN = "shutdown"


class StopRequested(Exception):
    """Raised inside a flow where it can end cleanly."""

    def __init__(self, reason: StopReason) -> None:
        super().__init__(f"stop requested: {reason.value}")
        self.reason = reason


class Activity(asyncio.Event):
    """Set by the worker when something has happened; each waiter clears an event of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._branches: WeakSet[asyncio.Event] = WeakSet()

    def branch(self) -> asyncio.Event:
        """A further event, set whenever this one is, for as long as someone holds it."""
        event = asyncio.Event()
        self.wakes(event)
        return event

    def wakes(self, event: asyncio.Event) -> None:
        """Have an event set whenever this one is, for as long as someone holds it."""
        self._branches.add(event)

    def set(self) -> None:
        """Set this event and its branches."""
        super().set()
        for event in list(self._branches):
            event.set()


class RunControl:
    """One flow run's line to its worker.

    Args:
        devices: ids of the GPUs given to the run, for CUDA_VISIBLE_DEVICES; None leaves the
            variable as the worker has it.
        launchers: how commands are started.
        environments: records what their Python has installed.
        after: set when the run before this one has been launched, so that runs claimed together
            still start in their order.
        guards: what the sessions protect.

    `compute` is where it is to be launched, of a worker with several; `gpu_type` is what that calls
    the type of GPU that the run asks for.

    `is_adopted` is true where an earlier worker has left the flow run: what its command has come to
    is its outcome, and no former attempt.
    """

    def __init__(
        self,
        devices: tuple[str, ...] | None = None,
        launchers: Launchers | None = None,
        environments: EnvironmentRecorder | None = None,
        after: asyncio.Event | None = None,
        guards: GuardBook | None = None,
    ) -> None:
        self.devices = devices
        self.launchers = launchers or Launchers()
        self.environments = environments or EnvironmentRecorder()
        self.guards = guards or GuardBook()
        self.launched = asyncio.Event()
        self.compute: str | None = None
        self.gpu_type: str | None = None
        self.is_adopted = False
        self.activity = Activity()
        self._after = after
        self._abandoned: list[asyncio.Future[Any]] = []
        self.reason: StopReason | None = None
        self._event = asyncio.Event()

    async def something_happens(self, seconds: float, event: asyncio.Event | None = None) -> None:
        """Sleep until the worker has seen an event that may matter, at most `seconds`.

        `event`: a branch of `activity`, for those who wait beside the flow itself.
        """
        try:
            async with asyncio.timeout(seconds):
                await (event or self.activity).wait()
        except TimeoutError:
            return

    async def turn(self) -> None:
        """Wait until the run before this one has been launched, or has ended without."""
        if self._after is not None:
            await self._after.wait()
            self._after = None

    def request(self, reason: StopReason) -> None:
        """Ask the flow to end; the first reason stands, but a shutdown never hides a cancel."""
        if self.reason in (None, StopReason.SHUTDOWN):
            self.reason = reason
        self._event.set()

    def check(self) -> None:
        """Raise StopRequested if the flow is to end."""
        if self.reason is not None:
            raise StopRequested(self.reason)

    async def requested(self) -> StopReason:
        """Wait until the flow is to end; return why."""
        await self._event.wait()
        assert self.reason is not None
        return self.reason

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`; if the flow is to end meanwhile, cancel it and raise StopRequested.

        On a shutdown the work is abandoned, not cancelled: its process outlives this one.
        """
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            self.check()
            raise AssertionError("stop event without a reason")
        finally:
            stop.cancel()
            if self.reason is StopReason.SHUTDOWN:
                self._abandoned.append(task)
            elif not task.done():
                task.cancel()
                await asyncio.wait({task})


class ControlBeside(RunControl):
    """The line of one who works beside others in the same flow run, woken as they are.

    Args:
        of: the flow run's own.
    """

    def __init__(self, of: RunControl) -> None:
        self._of = of
        super().__init__(of.devices, of.launchers, of.environments, guards=of.guards)
        self._event, self._abandoned = of._event, of._abandoned
        of.activity.wakes(self.activity)

    @property
    def reason(self) -> StopReason | None:
        """Why the flow run is to end."""
        return self._of.reason

    @reason.setter
    def reason(self, reason: StopReason | None) -> None:
        if reason is not None:
            self._of.reason = reason


_current: ContextVar[RunControl | None] = ContextVar("wildloop-run-control", default=None)


def current_control() -> RunControl:
    """The control of the flow run that this code runs in; one that never stops outside a worker."""
    return _current.get() or RunControl()


def is_in_worker() -> bool:
    """Whether a worker drives the flow run that this code runs in."""
    return _current.get() is not None


def enter_control(control: RunControl) -> None:
    """Make `control` the current one for this task and the tasks it starts."""
    _current.set(control)
