"""Which GPUs of this host are held by which run: pure bookkeeping, no I/O, no clock."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Grant:
    """The devices given to a run.

    Attributes:
        devices: ids, in the order of the pool.
        restricted: whether the run is to see these devices alone. False on a host without GPUs,
            where there is nothing to divide.
    """

    devices: tuple[str, ...] = ()
    restricted: bool = True

    @property
    def visible(self) -> tuple[str, ...] | None:
        """For CUDA_VISIBLE_DEVICES: empty hides all, None leaves the variable as it is."""
        return self.devices if self.restricted else None


def sharing_for(slots: int | None, devices: int) -> int:
    """How many runs may share a device: one, unless the user has set more slots than devices.

    Args:
        slots: what the user has set; None: nothing, so that a device is never shared.
        devices: how many there were at the start. Not to be counted anew when one vanishes, or
            the runs of the lost one would be crammed onto the others.
    """
    if slots is None or devices < 1:
        return 1
    return max(1, -(-slots // devices))


class DevicePool:
    """The one allocator of a host's devices.

    A device is given to at most `sharing` runs. A run never gets a device twice, keeps its
    devices until it is released, and gets all it asks for or nothing. The choice depends on the
    earlier calls alone: the least shared devices first, in the order of the pool.

    Args:
        devices: ids in PCI bus order; None or empty on a host without GPUs.
        sharing: runs a device, at most (see `sharing_for`).

    Raises:
        ValueError: `sharing` is below 1.
    """

    def __init__(self, devices: Sequence[str] | None, sharing: int = 1) -> None:
        if sharing < 1:
            raise ValueError(f"sharing must be at least 1, not {sharing}")
        self._sharing = sharing
        self._held: dict[str, tuple[str, ...]] = {}
        self._devices: tuple[str, ...] = ()
        self._seen = False
        self.update(devices or ())

    @property
    def has_devices(self) -> bool:
        """Whether this host has GPUs, or had: one whose driver breaks still has some to guard."""
        return self._seen or bool(self._held)

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that are there now."""
        return self._devices

    @property
    def held(self) -> dict[str, tuple[str, ...]]:
        """The devices of each run that holds any, as a copy."""
        return dict(self._held)

    def take(self, run_id: str, count: int, avoid: Collection[str] = ()) -> Grant | None:
        """Give `count` distinct devices to a run.

        Args:
            run_id: a run that holds devices gets these again, however many they are.
            count: 0 gives none, and hides those that the host has.
            avoid: devices that are left alone now: processes outside Wildloop use them.

        Returns:
            The devices; None, with nothing taken, if they cannot be had now.

        Raises:
            ValueError: `count` is negative.
        """
        if count < 0:
            raise ValueError(f"count must not be negative, not {count}")
        if run_id in self._held:
            return Grant(self._held[run_id])
        if not self.has_devices:
            return Grant(restricted=False)
        if not self.fits(count, avoid):
            return None
        load = self._load()
        ranked = sorted(self._open(avoid), key=lambda device: load[device])
        chosen = set(ranked[:count])
        return self._note(run_id, [device for device in self._devices if device in chosen])

    def fits(self, count: int, avoid: Collection[str] = ()) -> bool:
        """Whether a new run could have `count` devices now; always so on a host without GPUs."""
        return not self.has_devices or count <= len(self._open(avoid))

    def free(self, avoid: Collection[str] = ()) -> int:
        """How many places are left: runs of one device each that could start now.

        Where devices are shared, more than `fits` allows to a single run. 0 on a host without
        GPUs, whose runs need no place: see `has_devices`.
        """
        load = self._load()
        return sum(self._sharing - load[device] for device in self._open(avoid))

    def hold(self, run_id: str, devices: Iterable[str]) -> Grant:
        """Note that an adopted run has these devices: its process uses them already.

        Nothing is refused: neither devices that are not known (any more), nor such as are held
        by others. What the run held before is forgotten.
        """
        return self._note(run_id, [device for device in devices if device])

    def release(self, run_id: str) -> tuple[str, ...]:
        """Free the devices of a run whose processes are gone; return them."""
        return self._held.pop(run_id, ())

    def update(self, devices: Sequence[str]) -> None:
        """Take over what was detected anew.

        A device that has vanished is not given away until it is back; a run that holds it keeps
        it. A device that is new is given away at once.
        """
        self._devices = tuple(dict.fromkeys(devices))
        self._seen = self._seen or bool(self._devices)

    def _note(self, run_id: str, devices: Iterable[str]) -> Grant:
        chosen = tuple(dict.fromkeys(devices))
        if chosen:
            self._held[run_id] = chosen
        else:
            self._held.pop(run_id, None)
        return Grant(chosen, restricted=self.has_devices)

    def _open(self, avoid: Collection[str]) -> list[str]:
        load = self._load()
        return [
            device
            for device in self._devices
            if device not in avoid and load[device] < self._sharing
        ]

    def _load(self) -> dict[str, int]:
        load = dict.fromkeys(self._devices, 0)
        for held in self._held.values():
            for device in held:
                load[device] = load.get(device, 0) + 1
        return load
