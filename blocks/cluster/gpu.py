"""Local GPUs by NVML. Calls block: run them in a thread."""

from typing import Any

import pynvml

from blocks.cluster.models import Gpu, GpuProcess

MIB = 1024 * 1024


def read_gpus(visible: str | None) -> tuple[list[Gpu], list[str]]:
    """The GPUs that this process may use, and notes on what stood in the way.

    Args:
        visible: CUDA_VISIBLE_DEVICES: indexes or UUIDs (or their beginnings); None means all.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return [], [f"NVML: {error}"]
    try:
        gpus, notes = [], []
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                gpus.append(_read(index))
            except pynvml.NVMLError as error:
                notes.append(f"GPU {index} cannot be read: {error}")
        return visible_gpus(gpus, visible), notes
    finally:
        pynvml.nvmlShutdown()


def visible_gpus(gpus: list[Gpu], visible: str | None) -> list[Gpu]:
    """The GPUs named by CUDA_VISIBLE_DEVICES, in its order; an unknown name ends it, as in CUDA."""
    if visible is None:
        return gpus
    chosen: list[Gpu] = []
    for name in (part.strip() for part in visible.split(",") if part.strip()):
        found = [
            gpu
            for gpu in gpus
            if name == str(gpu.index) or (name.startswith("GPU-") and gpu.uuid.startswith(name))
        ]
        if len(found) != 1:
            break
        chosen += found
    return chosen


def _read(index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        index=index,
        uuid=_text(pynvml.nvmlDeviceGetUUID(handle)),
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        memory_used_mib=memory.used / MIB,
        memory_total_mib=memory.total / MIB,
        utilisation=_optional(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle).gpu),
        processes=[
            GpuProcess(
                pid=process.pid,
                memory_mib=process.usedGpuMemory / MIB if process.usedGpuMemory else None,
            )
            for process in _optional(lambda: pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
            or []
        ],
        mig=bool((_optional(lambda: pynvml.nvmlDeviceGetMigMode(handle)) or [0])[0]),
    )


def _optional(read: Any) -> Any:
    """A reading that not every device supports."""
    try:
        return read()
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
