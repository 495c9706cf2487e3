"""Which GPUs of this host are held by which run."""

from collections.abc import Sequence


class DevicePool:
    """The devices of one host.

    Args:
        devices: GPU ids; None where there are none, and then runs get none.
    """

    def __init__(self, devices: Sequence[str] | None) -> None:
        self._devices = list(devices or [])
        self._held: dict[str, tuple[str, ...]] = {}

    def take(self, run_id: str, count: int) -> tuple[str, ...] | None:
        """Give `count` devices to a run: free ones first, then the least shared.

        Devices are shared only where the user has set more slots than there are devices.
        Returns None on a host without GPUs, and an empty tuple for `count` 0, which hides them.
        """
        if run_id in self._held:
            return self._held[run_id]
        if not self._devices:
            return None
        load = dict.fromkeys(self._devices, 0)
        for held in self._held.values():
            for device in held:
                load[device] = load.get(device, 0) + 1
        ranked = sorted(self._devices, key=lambda device: load[device])
        self._held[run_id] = tuple(ranked[:count])
        return self._held[run_id]

    def hold(self, run_id: str, devices: Sequence[str]) -> None:
        """Note that an adopted run has these devices already."""
        if devices:
            self._held[run_id] = tuple(devices)

    def release(self, run_id: str) -> None:
        """Free the devices of a run that has ended."""
        self._held.pop(run_id, None)
