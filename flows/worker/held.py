"""What one worker holds: the flow runs that it drives, and the slots that are taken on its host.

Bookkeeping without I/O or clock. It keeps to this:

- A flow run is driven once at a time: what is held cannot be claimed again.
- Its slots are counted from the claim on, before the server knows of it, until the release.
- A command that may live on without a driver (a stray) keeps its slots until it is claimed again
  or a later look does not find it any more.
- Each flow run is counted once, driven or stray.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from wildloop.flows.run.control import RunControl, StopReason

REMEMBERED = 1000


@dataclass(frozen=True)
class _Drive:
    control: RunControl
    slots: int


class Held:
    """The one ledger of a worker."""

    def __init__(self) -> None:
        self._drives: dict[UUID, _Drive] = {}
        self._strays: dict[UUID, int] = {}
        self._ended: deque[UUID] = deque(maxlen=REMEMBERED)

    def __contains__(self, flow_run_id: object) -> bool:
        return flow_run_id in self._drives

    def __bool__(self) -> bool:
        return bool(self._drives)

    @property
    def ids(self) -> list[UUID]:
        """The flow runs that are driven now, oldest claim first."""
        return list(self._drives)

    @property
    def counted(self) -> set[UUID]:
        """The flow runs whose slots are counted, driven or stray."""
        return {*self._drives, *self._strays}

    @property
    def slots(self) -> dict[UUID, int]:
        """The slots of the GPU limit that each run takes on this host, driven or stray."""
        return self._strays | {id: drive.slots for id, drive in self._drives.items()}

    def leaves_none_of(self, slots: int) -> bool:
        """Whether all of so many slots are taken."""
        return sum(self.slots.values()) >= slots

    def control(self, flow_run_id: UUID) -> RunControl | None:
        """The line to a flow run that is driven; None if it is not."""
        drive = self._drives.get(flow_run_id)
        return drive.control if drive is not None else None

    def claim(self, flow_run_id: UUID, control: RunControl, slots: int = 0) -> None:
        """Count a flow run as driven, with the slots that it takes.

        Raises:
            ValueError: it is driven already, or takes fewer than no slots.
        """
        if flow_run_id in self._drives:
            raise ValueError(f"flow run {flow_run_id} is driven already")
        if slots < 0:
            raise ValueError(f"slots must not be negative, not {slots}")
        self._strays.pop(flow_run_id, None)
        self._drives[flow_run_id] = _Drive(control, slots)

    def lose(self, flow_run_id: UUID) -> None:
        """Note that a drive broke off: the command may go on, and keeps its slots beyond it."""
        drive = self._drives.get(flow_run_id)
        if drive is not None:
            self._strays[flow_run_id] = drive.slots

    def release(self, flow_run_id: UUID) -> None:
        """Forget a drive that is over, whether or not there was one."""
        if (drive := self._drives.pop(flow_run_id, None)) is not None:
            drive.control.launched.set()
            self._ended.append(flow_run_id)

    def look(self, strays: Mapping[UUID, int]) -> None:
        """Take over which commands were found to have no driver now, with their slots."""
        self._strays = {id: slots for id, slots in strays.items() if id not in self._drives}

    def has_ended(self, flow_run_id: UUID) -> bool:
        """Whether this worker drove the flow run to its end, lately."""
        return flow_run_id in self._ended

    def wake(self) -> None:
        """Tell all drives that something has happened."""
        for drive in list(self._drives.values()):
            drive.control.activity.set()

    def request(self, reason: StopReason) -> None:
        """Ask all drives to end."""
        for drive in list(self._drives.values()):
            drive.control.request(reason)
