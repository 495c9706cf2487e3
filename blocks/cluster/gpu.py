"""Local GPUs by NVML. Calls block, for ever if the driver hangs: `read_gpus` bounds them."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pynvml

from blocks.cluster.models import Gpu, GpuProcess

MIB = 1024 * 1024
NVML_SECONDS = 20.0


@dataclass
class GpuReading:
    """What NVML told: GPUs, notes on what stood in the way, and whether a driver is broken."""

    gpus: list[Gpu] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: bool = False


async def read_gpus(visible: str | None, timeout_seconds: float = NVML_SECONDS) -> GpuReading:
    """The GPUs that this process may use.

    Args:
        visible: CUDA_VISIBLE_DEVICES: indexes or UUIDs (or their beginnings); None means all.
        timeout_seconds: a driver that takes longer counts as broken.
    """
    answer: Future[GpuReading] = Future()
    answer.set_running_or_notify_cancel()

    def read() -> None:
        try:
            answer.set_result(read_gpus_now(visible))
        except BaseException as error:  # noqa: BLE001 - raised again where the answer is awaited
            answer.set_exception(error)

    # A daemon thread of its own: one that hangs in the driver must not hold up the exit.
    threading.Thread(target=read, name="wildloop-nvml", daemon=True).start()
    try:
        async with asyncio.timeout(timeout_seconds):
            return await asyncio.wrap_future(answer)
    except TimeoutError:
        note = f"NVML did not answer within {timeout_seconds:g} s: see `nvidia-smi` and the driver"
        return GpuReading(notes=[note], broken=True)


def read_gpus_now(visible: str | None) -> GpuReading:
    """As `read_gpus`, blocking, without a time-out."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return GpuReading(notes=["no NVIDIA driver library (NVML) on this host"])
    except pynvml.NVMLError as error:
        note = f"NVML does not start ({error}): see `nvidia-smi` and the driver"
        return GpuReading(notes=[note], broken=True)
    reading = GpuReading()
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                reading.gpus.append(_read(index))
            except pynvml.NVMLError as error:
                reading.broken = True
                reading.notes.append(f"GPU {index} cannot be read and is left out: {error}")
    except pynvml.NVMLError as error:
        reading.broken = True
        reading.notes.append(f"GPUs cannot be counted: {error}")
    finally:
        _shut_down(reading)
    chosen = visible_gpus(reading.gpus, visible)
    reading.notes += _notes(reading.gpus, chosen, visible)
    reading.gpus = chosen
    return reading


def visible_gpus(gpus: Sequence[Gpu], visible: str | None) -> list[Gpu]:
    """The GPUs named by CUDA_VISIBLE_DEVICES, in its order.

    As in CUDA, a name that fits no GPU, or more than one, or one named before, ends the list; so
    "" and "-1" mean none.
    """
    if visible is None:
        return list(gpus)
    chosen: list[Gpu] = []
    for name in (part.strip() for part in visible.split(",")):
        found = [gpu for gpu in gpus if name == str(gpu.index) or _is_uuid_of(name, gpu)]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen += found
    return chosen


def _is_uuid_of(name: str, gpu: Gpu) -> bool:
    return name.startswith("GPU-") and gpu.uuid.startswith(name)


def _notes(gpus: Sequence[Gpu], chosen: Sequence[Gpu], visible: str | None) -> list[str]:
    notes = []
    if visible is not None and len(chosen) < len(gpus):
        notes.append(
            f"CUDA_VISIBLE_DEVICES='{visible}' leaves {len(chosen)} of {len(gpus)} GPUs visible"
        )
    if visible is not None and "MIG-" in visible:
        notes.append("MIG instances in CUDA_VISIBLE_DEVICES are not counted: set --slots by hand")
    split = [str(gpu.index) for gpu in chosen if gpu.mig]
    if split:
        notes.append(
            f"GPU {', '.join(split)} is in MIG mode: its instances are not counted one by one, "
            "set --slots by hand"
        )
    if len({gpu.name for gpu in chosen}) > 1:
        notes.append(
            "GPUs of different kinds: indexes are in PCI bus order, which CUDA follows only with "
            "CUDA_DEVICE_ORDER=PCI_BUS_ID"
        )
    return notes


def _read(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = _optional(pynvml.nvmlDeviceGetMemoryInfo, handle)
    utilisation = _optional(pynvml.nvmlDeviceGetUtilizationRates, handle)
    mig = _optional(pynvml.nvmlDeviceGetMigMode, handle)
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_used_mib=round(memory.used / MIB, 1) if memory else None,
        memory_total_mib=round(memory.total / MIB, 1) if memory else None,
        utilisation=utilisation.gpu if utilisation else None,
        processes=[
            GpuProcess(
                pid=process.pid,
                memory_mib=round(process.usedGpuMemory / MIB, 1) if process.usedGpuMemory else None,
            )
            for process in _optional(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
        ],
        mig=bool(mig and mig[0]),
    )


def _optional(read: Callable[[Any], Any], handle: Any) -> Any:
    """A reading that not every device supports; None where it does not."""
    try:
        return read(handle)
    except pynvml.NVMLError:
        return None


def _shut_down(reading: GpuReading) -> None:
    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        reading.notes.append(f"NVML does not shut down: {error}")


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
