"""Local GPUs by NVML. Calls block, for ever if the driver hangs: `GpuReader` bounds them.

NVML numbers GPUs in PCI bus order and knows nothing of CUDA_VISIBLE_DEVICES. That variable is
absolute: a child gets the numbers that NVML uses, whatever its parent's variable hides, provided
that CUDA_DEVICE_ORDER=PCI_BUS_ID is set beside it.
"""

import asyncio
import ctypes
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pynvml

from wildloop.blocks.cluster.models import Gpu, GpuProcess

MIB = 1024 * 1024
NVML_SECONDS = 20.0
LIBRARY = "libnvidia-ml.so.1"
# What NVML answers for a GPU that no program can use any more.
UNUSABLE = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})


@dataclass
class GpuReading:
    """What NVML told: GPUs, notes on what stood in the way, and whether a driver is broken."""

    gpus: list[Gpu] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: bool = False


class GpuReader:
    """Reads the GPUs again and again; a driver that hangs holds one thread, not one a look.

    Args:
        visible: CUDA_VISIBLE_DEVICES: indexes or UUIDs (or their beginnings); None means all.
    """

    def __init__(self, visible: str | None) -> None:
        self.visible = visible
        self._answer: Future[GpuReading] | None = None

    async def read(self, timeout_seconds: float = NVML_SECONDS) -> GpuReading:
        """The GPUs that this process may use.

        Args:
            timeout_seconds: a driver that takes longer counts as broken. The next call then waits
                for the same answer.
        """
        if self._answer is None or self._answer.done():
            self._answer = self._ask()
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.wrap_future(self._answer)
        except TimeoutError:
            note = (
                f"NVML did not answer within {timeout_seconds:g} s: see `nvidia-smi` and the driver"
            )
            return GpuReading(notes=[note], broken=True)

    def _ask(self) -> Future[GpuReading]:
        answer: Future[GpuReading] = Future()
        answer.set_running_or_notify_cancel()

        def read() -> None:
            try:
                answer.set_result(read_gpus_now(self.visible))
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                answer.set_exception(error)

        # A daemon thread of its own: one that hangs in the driver must not hold up the exit.
        threading.Thread(target=read, name="wildloop-nvml", daemon=True).start()
        return answer


async def read_gpus(visible: str | None, timeout_seconds: float = NVML_SECONDS) -> GpuReading:
    """The GPUs that this process may use, read once: see `GpuReader`."""
    return await GpuReader(visible).read(timeout_seconds)


def read_gpus_now(visible: str | None) -> GpuReading:
    """As `GpuReader.read`, blocking, without a time-out."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return _no_library()
    except pynvml.NVMLError as error:
        note = f"NVML does not start ({error}): see `nvidia-smi` and the driver"
        return GpuReading(notes=[note], broken=True)
    reading, lost = GpuReading(), set[int]()
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                found = _read(index)
            except pynvml.NVMLError as error:
                reading.broken = True
                reading.notes.append(f"GPU {index} cannot be read and is left out: {error}")
                lost.add(index)
                continue
            reading.gpus += found
            if not found:
                reading.notes.append(
                    f"GPU {index} is in MIG mode without instances and is left out: make some by "
                    "`nvidia-smi mig`, or end the mode"
                )
                lost.add(index)
    except pynvml.NVMLError as error:
        reading.broken = True
        reading.notes.append(f"GPUs cannot be counted: {error}")
    finally:
        _shut_down(reading)
    chosen = visible_gpus(reading.gpus, visible, lost)
    reading.notes += _notes(reading.gpus, chosen, visible)
    reading.gpus = chosen
    return reading


def visible_gpus(gpus: Sequence[Gpu], visible: str | None, lost: Collection[int] = ()) -> list[Gpu]:
    """The GPUs named by CUDA_VISIBLE_DEVICES, in its order.

    As in CUDA, a name that fits no GPU, or more than one, or one named before, ends the list; so
    "" and "-1" mean none. The name of a GPU in MIG mode means all its instances.

    Args:
        gpus: what there is.
        visible: the value of the variable; None means all.
        lost: indexes of GPUs that cannot be used; their names are passed over, so that one lost
            GPU does not hide those named after it.
    """
    if visible is None:
        return list(gpus)
    chosen: list[Gpu] = []
    for name in (part.strip() for part in visible.split(",")):
        found = [gpu for gpu in gpus if _is_named(gpu, name)]
        owners = {gpu.parent or gpu.uuid for gpu in found}
        if not found and _may_be_lost(name, lost):
            continue
        ambiguous = len(owners) > 1 or (name.startswith("MIG-") and len(found) > 1)
        if not found or ambiguous or any(gpu in chosen for gpu in found):
            break
        chosen += found
    return chosen


def settled_gpus(first: Sequence[Gpu], now: Sequence[Gpu]) -> list[Gpu]:
    """Those of `now` whose device id still means the GPU that it meant at `first`.

    A GPU taken off the bus moves the indexes of those behind it, while runs hold them by their
    old ids: until the worker starts anew, a GPU that has moved is not to be given away.
    """
    meant = {gpu.device: gpu.uuid for gpu in first}
    called = {gpu.uuid: gpu.device for gpu in first}
    return [
        gpu
        for gpu in now
        if meant.get(gpu.device, gpu.uuid) == gpu.uuid
        and called.get(gpu.uuid, gpu.device) == gpu.device
    ]


def _is_named(gpu: Gpu, name: str) -> bool:
    if name.startswith("MIG-"):
        return gpu.parent is not None and gpu.uuid.startswith(name)
    if name.startswith("GPU-"):
        return (gpu.parent or gpu.uuid).startswith(name)
    return name == str(gpu.index)


def _may_be_lost(name: str, lost: Collection[int]) -> bool:
    return name in map(str, lost) or (bool(lost) and name.startswith(("GPU-", "MIG-")))


def _notes(gpus: Sequence[Gpu], chosen: Sequence[Gpu], visible: str | None) -> list[str]:
    notes = []
    if visible is not None and len(chosen) < len(gpus):
        notes.append(
            f"CUDA_VISIBLE_DEVICES='{visible}' leaves {len(chosen)} of {len(gpus)} GPUs visible"
        )
    if any(gpu.mig for gpu in chosen):
        notes.append(
            "MIG mode: each instance is counted as a GPU; CUDA shows a process only one of them, "
            "so give runs `gpus: 1`"
        )
    by_index = visible is not None and any(part.strip().isdigit() for part in visible.split(","))
    if by_index and len({gpu.name for gpu in gpus}) > 1:
        notes.append(
            "GPUs of different kinds: the indexes in CUDA_VISIBLE_DEVICES are taken in PCI bus "
            "order, which CUDA itself follows only with CUDA_DEVICE_ORDER=PCI_BUS_ID"
        )
    return notes


def _read(index: int) -> list[Gpu]:
    """The GPU, or its instances in MIG mode."""
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    mig = _optional(pynvml.nvmlDeviceGetMigMode, handle)
    if not (mig and mig[0]):
        return [_describe(index, handle)]
    parent = _text(pynvml.nvmlDeviceGetUUID(handle))
    return [_describe(index, instance, parent) for instance in _instances(handle)]


def _instances(handle: Any) -> list[Any]:
    found = []
    for place in range(_optional(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        try:
            found.append(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place))
        except pynvml.NVMLError_NotFound:
            continue
    return found


def _describe(index: int, handle: Any, parent: str | None = None) -> Gpu:
    memory = _memory(handle)
    utilisation = _optional(pynvml.nvmlDeviceGetUtilizationRates, handle)
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_used_mib=round(memory.used / MIB, 1) if memory else None,
        memory_total_mib=round(memory.total / MIB, 1) if memory else None,
        utilisation=utilisation.gpu if utilisation else None,
        processes=_processes(handle),
        mig=parent is not None,
        parent=parent,
    )


def _memory(handle: Any) -> Any:
    """Memory; where the driver tells it, without counting as used what it reserves for itself."""
    newer = _optional(_memory_v2, handle)
    return newer if newer is not None else _optional(pynvml.nvmlDeviceGetMemoryInfo, handle)


def _memory_v2(handle: Any) -> Any:
    return pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)


def _processes(handle: Any) -> list[GpuProcess]:
    """Who computes on a GPU, and who only draws on it; by pid."""
    found: dict[int, GpuProcess] = {}
    for graphics, newer, older in (
        (
            False,
            pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
            pynvml.nvmlDeviceGetComputeRunningProcesses_v2,
        ),
        (
            True,
            pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
            pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2,
        ),
    ):
        listed = _optional(newer, handle)
        for process in listed if listed is not None else _optional(older, handle) or []:
            used = process.usedGpuMemory
            memory_mib = None if used is None else round(used / MIB, 1)
            found.setdefault(
                process.pid,
                GpuProcess(pid=process.pid, memory_mib=memory_mib, graphics=graphics),
            )
    return sorted(found.values(), key=lambda process: process.pid)


def _optional(read: Callable[[Any], Any], handle: Any) -> Any:
    """A reading that not every device or driver supports; None where it does not.

    Raises:
        NVMLError: the GPU cannot be used any more.
    """
    try:
        return read(handle)
    except pynvml.NVMLError as error:
        if error.value in UNUSABLE:
            raise
        return None


def _no_library() -> GpuReading:
    """pynvml says `not found` for a library that is there and cannot be loaded, too."""
    try:
        ctypes.CDLL(LIBRARY)
    except OSError as error:
        if "no such file" not in str(error).lower():
            note = f"the NVIDIA driver library (NVML) cannot be loaded: {error}"
            return GpuReading(notes=[note], broken=True)
    return GpuReading(notes=["no NVIDIA driver library (NVML) on this host"])


def _shut_down(reading: GpuReading) -> None:
    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        reading.notes.append(f"NVML does not shut down: {error}")


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
