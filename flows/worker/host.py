"""The compute of this worker's host: its slots, its devices, and who else uses them."""

import asyncio
import getpass
import os
import time
from collections.abc import Collection, Sequence
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from wildloop.blocks.cluster.contention import Occupancy, read_occupancy
from wildloop.blocks.cluster.gpu import GpuReader, settled_gpus
from wildloop.blocks.cluster.models import Cluster, ClusterType, Gpu
from wildloop.blocks.launchers import processes
from wildloop.blocks.launchers.choice import Launchers
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.files.reservation import read_reservation
from wildloop.flows.models.cluster import HostRecord, kinds_of
from wildloop.flows.models.compute import KUBERNETES, SLURM, ComputeOffer, is_particular
from wildloop.flows.models.run import RunSpec
from wildloop.flows.store.hosts import publish_host, read_host, sync_limits
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG, spec_of
from wildloop.flows.worker.computes import Renewals
from wildloop.flows.worker.devices import DevicePool, Grant, sharing_for
from wildloop.flows.worker.servable import Servable
from wildloop.flows.worker.use import UseNotes

FRESH_SECONDS = 0.1
# What a user's word about the compute does not change.
KEPT = ("slots_override", "cpus", "compute", "further", "partitions", "partition_type")


class HostCompute:
    """What runs of this host may use.

    Args:
        record: this host's compute as found at the start, and the slots that the user has set.
        renewal: tells of changes of compute blocks.
        launchers: know of launches that failed here.

    `left_elsewhere` is the slots of runs on other hosts whose workers are offline.
    """

    def __init__(
        self,
        record: HostRecord,
        renewal: Renewals | None = None,
        launchers: Launchers | None = None,
    ) -> None:
        gpus = [gpu.device for gpu in record.cluster.details.gpus]
        local = record.cluster.type is ClusterType.LOCAL_GPU
        self.record = record
        self._renewal = renewal
        known = launchers or Launchers()
        self.servable = Servable(record.host, lambda: known.is_aside, known.has_refused)
        self.left_elsewhere = 0
        self.devices = DevicePool(
            gpus if local else None, sharing_for(record.slots_override, len(gpus))
        )
        self._rooms: dict[str, str] = {}
        self._use = UseNotes(record.host)
        self._first = list(record.cluster.details.gpus)
        self._reader = GpuReader(os.environ.get("CUDA_VISIBLE_DEVICES"))
        self._occupancy: Occupancy | None = None
        self._read_at = 0.0
        self._user = getpass.getuser() if local else ""

    @property
    def slots(self) -> int:
        """Slots of the GPU limit on this host."""
        return self.record.slots

    @property
    def largest(self) -> int:
        """How many devices a run can have here at most, with the GPUs that are there now."""
        there = len(self.devices.devices) if self.devices.has_devices else self.record.largest
        return min(self.slots, there)

    @property
    def offers(self) -> list[ComputeOffer]:
        """The computes of this worker, the first with what is there of it now."""
        own = self.record.own.model_copy(update={"largest": self.largest})
        return [own, *self.record.further]

    def rooms_for(self, spec: RunSpec) -> list[str]:
        """The computes that can serve a run, by name, the first one first.

        One with options for Slurm goes to Slurm, where this worker has any, and so for Kubernetes.
        A flow of a team's own, which has no command, runs on this host.
        """
        if not spec.command:
            return [self.record.own.name]
        served = [offer for offer in self.offers if offer.serves(spec)]
        for kind, options in ((SLURM, spec.slurm), (KUBERNETES, spec.kubernetes)):
            if options is not None and any(offer.kind == kind for offer in self.offers):
                served = [offer for offer in served if offer.kind == kind]
        return [offer.name for offer in served]

    def room_of(self, run_id: str) -> str:
        """The compute that a run is in; the first, where that is not known."""
        return self._rooms.get(run_id, self.record.own.name)

    def shared_slots(self, run_id: str, slots: int) -> int:
        """How many of a run's slots are of the host's limit: none of another compute."""
        return slots if self.room_of(run_id) == self.record.own.name else 0

    def chosen(self, run_id: str) -> str | None:
        """As `room_of`; None where there is but one."""
        return self.room_of(run_id) if self.record.further else None

    def count_in(self, room: str, run_ids: Collection[str]) -> int:
        """How many of these runs are in a compute."""
        return sum(self._rooms.get(id) == room for id in run_ids)

    def own_type(self, run_id: str, spec: RunSpec) -> str | None:
        """What a run's compute calls the type of GPU that it asks for."""
        room = self.room_of(run_id)
        offer = next((one for one in self.record.offers if one.name == room), None)
        return offer.own_type(spec.gpu_type) if offer is not None else None

    async def occupancy(self) -> Occupancy | None:
        """Who uses the GPUs now; None on a host without."""
        if not self.devices.has_devices:
            return None
        if self._occupancy is None or time.monotonic() - self._read_at > FRESH_SECONDS:
            own = await asyncio.to_thread(processes.launched_pids)
            held = {device for group in self.devices.held.values() for device in group}
            self._occupancy = await read_occupancy(self._reader, own, held)
            self._read_at = time.monotonic()
            self._take_over(self._occupancy)
        return self._occupancy

    def avoided(self, spec: RunSpec, occupancy: Occupancy | None) -> frozenset[str]:
        """The devices that a run is to leave alone, by its `gpuwrap_config.enabled`.

        True: all that processes outside Wildloop use; False: none. By default those that other
        users' processes use: a workstation's only user may well have a notebook open.
        """
        enabled = spec.gpuwrap_config.enabled if spec.gpuwrap_config else None
        others = self._of_other_types(spec)
        if occupancy is None or enabled is False:
            return others
        if enabled:
            return others | occupancy.in_outside_use
        return others | frozenset(
            sample.device
            for sample in occupancy.samples
            if any(process.user != self._user for process in sample.outside)
        )

    def _of_other_types(self, spec: RunSpec) -> frozenset[str]:
        """The devices that have not the type or the memory that a run asks for."""
        if not is_particular(spec):
            return frozenset()
        return frozenset(
            gpu.device
            for gpu in self.record.cluster.details.gpus
            if not kinds_of([gpu])[0].serves(spec)
        )

    def grant(self, run_id: str, spec: RunSpec, room: str | None = None) -> Grant | None:
        """Give a run its devices, or again those that it holds; None if they are not to be had.

        Args:
            run_id: the run.
            spec: what it asks for.
            room: the compute that was chosen for it; None: where it was, or the first that serves.
        """
        if room is None and run_id not in self._rooms:
            room = next(iter(self.rooms_for(spec)), self.record.own.name)
        self._rooms[run_id] = room or self._rooms[run_id]
        if self._rooms[run_id] != self.record.own.name:
            return Grant(restricted=False)
        avoided = self.avoided(spec, self._occupancy)
        grant = self.devices.take(run_id, spec.gpus, avoided)
        if grant is None:
            del self._rooms[run_id]
        return grant

    def release(self, run_id: str, is_over: bool = True) -> None:
        """Free what a run holds; of a command that goes on without a driver it is kept where."""
        self.devices.release(run_id)
        if is_over:
            self._rooms.pop(run_id, None)

    def reserve(self, left: Sequence[FlowRun], held: Collection[UUID]) -> None:
        """Keep the devices of runs that no worker drives now, but whose commands may live.

        Args:
            left: every active flow run that this worker does not drive.
            held: those that it does.
        """
        known = {str(id) for id in held}
        for flow_run in left:
            known.add(str(flow_run.id))
            workdir = spec_of(flow_run).workdir if EXPERIMENT_TAG in flow_run.tags else None
            note = read_reservation(RunPaths.of(workdir, str(flow_run.id))) if workdir else None
            if note is not None and note.devices:
                self.devices.hold(str(flow_run.id), note.devices)
            if note is not None and note.compute is not None:
                self._rooms.setdefault(str(flow_run.id), note.compute)
        for run_id in set(self.devices.held) - known:
            self.devices.release(run_id)
        for run_id in set(self._rooms) - known:
            del self._rooms[run_id]

    async def refresh(self, client: PrefectClient) -> None:
        """Look for changes: of the GPUs, of what the user has set, of the other hosts."""
        await self._use.note(client, await self.occupancy())
        renewed = await self._renewal.look(self.record) if self._renewal is not None else None
        if renewed is not None:
            self.record = renewed
            await publish_host(client, renewed)
        known = await read_host(client, self.record.host)
        if known is None:
            await publish_host(client, self.record)
        elif _told_by_user(known.cluster, self.record.cluster):
            mine = {name: getattr(self.record, name) for name in KEPT}
            self.record = known.model_copy(update=mine)
        elif _differs(known, self.record):
            await publish_host(client, self.record)
        await sync_limits(client, self.record, self.left_elsewhere)

    def _take_over(self, seen: Occupancy) -> None:
        """Note GPUs that have vanished or come back; a broken driver tells nothing."""
        if seen.broken and not seen.gpus:
            return
        gpus = settled_gpus(self._first, seen.gpus)
        self.devices.update(_devices(gpus))
        cluster = self.record.cluster
        if cluster.source == "detected" and _devices(cluster.details.gpus) != _devices(gpus):
            details = cluster.details.model_copy(update={"gpus": gpus, "notes": list(seen.notes)})
            changed = cluster.model_copy(
                update={
                    "details": details,
                    "gpu_count": len(gpus),
                    "status": "degraded" if seen.broken else "healthy",
                    "last_detected_at": seen.taken_at,
                }
            )
            self.record = self.record.model_copy(update={"cluster": changed})


def _told_by_user(known: Cluster, mine: Cluster) -> bool:
    """Whether the record was changed over HTTP since this worker wrote its own."""
    return known.last_detected_at > mine.last_detected_at and (
        known.source == "manual" or mine.source == "manual"
    )


def _differs(known: HostRecord, mine: HostRecord) -> bool:
    """Whether what is recorded is not what this worker has.

    Devices, further computes, or the partitions that a look by the API has counted.
    """
    if known.further != mine.further or known.compute != mine.compute:
        return True
    slurm = known.cluster.type is mine.cluster.type is ClusterType.SLURM
    if slurm and known.cluster.gpu_count != mine.cluster.gpu_count:
        return True
    return _devices(known.cluster.details.gpus) != _devices(mine.cluster.details.gpus)


def _devices(gpus: Sequence[Gpu]) -> list[str]:
    return [gpu.device for gpu in gpus]
