"""Who else uses this host's GPUs, and whether a run died of it.

NVML gives the pids of the host. In a container with pids of its own they tell nothing: none of
them can be matched with our processes, and some drivers list none at all. There a GPU that none
of our runs holds is in outside use if any process is listed on it, or if much of its memory is
used; on a GPU that one of our runs holds, outside use cannot be seen, and none is claimed.
"""

import re
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, Field

from wildloop.blocks.cluster.gpu import GpuReader
from wildloop.blocks.cluster.models import Gpu, GpuProcess

# A desktop's windows, a browser, a login screen: they leave a training run what it needs.
DISPLAY_MIB = 200.0
# Above what a desktop takes or older drivers reserve; a training process takes more.
UNLISTED_MIB = 1024.0
# Without persistence mode the driver takes a second or so to wake each idle GPU.
OCCUPANCY_SECONDS = 10.0
# A run that others keep from its memory fails while it sets itself up.
EARLY_SECONDS = 300.0
# What CUDA itself may take beside the memory that old PyTorch messages tell.
CONTEXT_BYTES = 2**30
_HOST_PID_NAMESPACE = 0xEFFFFFFC
_SUCCESS_OR_SIGNAL = frozenset({0, 130, 137, 143, -2, -9, -15})


class DeviceSample(BaseModel):
    """How one device was used at one moment; memory in MiB, utilisation in percent."""

    model_config = ConfigDict(frozen=True)

    device: str
    uuid: str
    utilisation: int | None = None
    memory_used_mib: float | None = None
    memory_total_mib: float | None = None
    outside: tuple[GpuProcess, ...] = Field(
        default=(), description="Processes of others; pid 0: memory that no listed process has."
    )


class Occupancy(BaseModel):
    """How this host was used at one moment (Unix seconds)."""

    model_config = ConfigDict(frozen=True)

    taken_at: float
    samples: tuple[DeviceSample, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    load: float = Field(description="Mean number of runnable processes in the last minute.")
    notes: tuple[str, ...] = ()
    broken: bool = Field(
        default=False, description="The driver did not answer, or not for every GPU."
    )

    @property
    def in_outside_use(self) -> frozenset[str]:
        """The devices to leave alone."""
        return frozenset(sample.device for sample in self.samples if sample.outside)


async def read_occupancy(
    reader: GpuReader,
    own: Collection[int] = (),
    held: Collection[str] = (),
    timeout_seconds: float = OCCUPANCY_SECONDS,
) -> Occupancy:
    """Look at the GPUs that this process may use, and at who uses them.

    A missing or broken driver is told in `notes` and `broken`, never raised. What a broken one
    does not tell is not known: it does not mean that a device is free.

    Args:
        reader: kept by the caller from look to look.
        own: pids of all processes of our runs.
        held: devices that our runs hold.
        timeout_seconds: how long the driver may take.
    """
    reading = await reader.read(timeout_seconds)
    pids_match = sees_host_pids()
    users = outside_users(reading.gpus, own, held, pids_match)
    if pids_match:
        users = {device: [_looked_up(one) for one in found] for device, found in users.items()}
    return Occupancy(
        taken_at=time.time(),
        samples=tuple(_sample(gpu, users) for gpu in reading.gpus),
        gpus=tuple(reading.gpus),
        load=psutil.getloadavg()[0],
        notes=tuple(reading.notes),
        broken=reading.broken,
    )


def outside_users(
    gpus: Sequence[Gpu],
    own: Collection[int],
    held: Collection[str] = (),
    pids_match: bool = True,
) -> dict[str, list[GpuProcess]]:
    """The devices that others use, each with their processes.

    Processes that only draw, in less than `DISPLAY_MIB`, do not count. Memory above
    `UNLISTED_MIB` that no listed process accounts for, on a device that no run of ours holds,
    counts as a process with pid 0.

    Args:
        gpus: as read.
        own: pids of all processes of our runs.
        held: devices that our runs hold.
        pids_match: whether NVML's pids are those that this process sees (`sees_host_pids`).
    """
    found: dict[str, list[GpuProcess]] = {}
    for gpu in gpus:
        is_held = gpu.device in held
        users = [
            process
            for process in gpu.processes
            if not _is_small_display(process)
            and not _is_ours(process, own, is_held, pids_match and process.pid > 0)
        ]
        unlisted = None if is_held else _unlisted_mib(gpu)
        if unlisted is not None and unlisted > UNLISTED_MIB:
            users.append(GpuProcess(pid=0, memory_mib=round(unlisted, 1)))
        if users:
            found[gpu.device] = users
    return found


def sees_host_pids() -> bool:
    """Whether this process sees the pids that NVML gives: not so in most containers.

    The first pid namespace of a Linux kernel has an inode of fixed number.
    """
    if sys.platform != "linux":
        return True
    try:
        return Path("/proc/self/ns/pid").stat().st_ino == _HOST_PID_NAMESPACE
    except OSError:
        return False


def _is_small_display(process: GpuProcess) -> bool:
    return process.graphics and process.memory_mib is not None and process.memory_mib < DISPLAY_MIB


def _is_ours(process: GpuProcess, own: Collection[int], is_held: bool, is_known: bool) -> bool:
    return process.pid in own if is_known else is_held


def _unlisted_mib(gpu: Gpu) -> float | None:
    """Memory that is used by no listed process; None where that cannot be told."""
    listed = [process.memory_mib for process in gpu.processes]
    if gpu.memory_used_mib is None or None in listed:
        return None
    return gpu.memory_used_mib - sum(mib for mib in listed if mib is not None)


def _looked_up(process: GpuProcess) -> GpuProcess:
    if process.pid == 0:
        return process
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        known = psutil.Process(process.pid)
        return process.model_copy(update={"name": known.name(), "user": known.username()})
    return process


def _sample(gpu: Gpu, users: Mapping[str, Sequence[GpuProcess]]) -> DeviceSample:
    return DeviceSample(
        device=gpu.device,
        uuid=gpu.uuid,
        utilisation=gpu.utilisation,
        memory_used_mib=gpu.memory_used_mib,
        memory_total_mib=gpu.memory_total_mib,
        outside=tuple(users.get(gpu.device, ())),
    )


class _Sign(BaseModel):
    """A text by which CUDA programs tell of a GPU that others use."""

    model_config = ConfigDict(frozen=True)

    cause: str
    text: re.Pattern[str]
    whenever: bool = Field(description="Whether it means contention however late it comes.")


_GPU_MEMORY = _Sign(
    cause="the GPU is out of memory",
    text=re.compile(
        r"CUDA out of memory"
        r"|CUDA (?:\w+ )?error: out of memory"
        r"|cudaMalloc\w*(?:\(\))? (?:retry )?failed: out of memory"
        r"|Cuda failure (?:\d+ )?'out of memory'"
        r"|cudaErrorMemoryAllocation|CUDA_ERROR_OUT_OF_MEMORY"
        r"|(?i:resource[ _]exhausted): (?:Out of\s+memory while trying to allocate"
        r"|Failed to allocate request for)"
        r"|OOM when allocating tensor[^\n]*(?:device:GPU|GPU_\d+_bfc)"
        r"|cupy\S*\.OutOfMemoryError"
    ),
    whenever=False,
)
_SIGNS = (
    _Sign(
        cause="the GPU is busy or unavailable: another process has it for itself",
        text=re.compile(
            r"CUDA-capable device(?:s|\(s\)) (?:are|is|is/are) busy or unavailable"
            r"|cudaErrorDevices?Unavailable|CUDA_ERROR_DEVICE_UNAVAILABLE"
            r"|exclusive-thread device already in use|cudaErrorDeviceAlreadyInUse"
        ),
        whenever=True,
    ),
    _GPU_MEMORY,
    _Sign(
        cause="a CUDA library found no GPU memory to start with",
        text=re.compile(
            r"CU(?:BLAS|DNN|SOLVER|SPARSE)_STATUS_(?:NOT_INITIALIZED|ALLOC_FAILED)"
            r"|(?i:could not create cudnn handle|failed to create (?:cublas|cudnn) handle"
            r"|cudnn failed to initialize)"
        ),
        whenever=False,
    ),
)
# The head of an error as Python prints it, with the prefix that torchrun puts before it.
_ERROR = re.compile(
    r"^(?:\[rank\d+\]: ?)?(?:\w+\.)*(?P<name>\w*(?:Error|Exception|Interrupt))(?::|$)", re.MULTILINE
)
# Errors that tell of another process's error; the one that they follow from stands above them.
_FOLLOW_UPS = frozenset(
    {
        "CalledProcessError",
        "ChildFailedError",
        "ConnectionResetError",
        "DistBackendError",
        "EOFError",
        "ProcessExitedException",
        "ProcessRaisedException",
        "RayTaskError",
    }
)
# Python goes on after such an error; most come from clean-up at the exit.
_IGNORED = re.compile(r"^Exception ignored in\b.*?(?:^\w[\w.]*Error\b[^\n]*\n?|\Z)", re.M | re.S)
_SIZE = r"(\d+(?:\.\d+)?) ?(bytes|KiB|MiB|GiB|TiB)"
_BYTES = {"bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def is_contention(log_tail: str, exit_code: int | None, seconds: float) -> str | None:
    """Why a run that failed looks as if others had kept its GPU from it; None if it does not.

    Out of memory early on is taken for contention, later for the run's own doing, unless the
    message tells whose the memory was (PyTorch's does): then it is contention exactly if the
    run would have had enough, had it been alone. Texts above another error do not count: the
    run went on after them.

    Args:
        log_tail: the end of the log; some 64 KiB hold the longest messages.
        exit_code: None where there is none. A run ended by a signal did not die of contention.
        seconds: how long the run lasted.
    """
    if exit_code in _SUCCESS_OR_SIGNAL:
        return None
    text = last_error(log_tail)
    for sign in _SIGNS:
        told = list(sign.text.finditer(text))
        if not told:
            continue
        if sign.whenever:
            return sign.cause
        enough = _enough_alone(text[told[-1].start() :])
        if enough is not None:
            return f"{sign.cause}: other processes hold too much of it" if enough else None
        return f"{sign.cause} {seconds:.0f} s after the start" if seconds <= EARLY_SECONDS else None
    return None


def last_error(log_tail: str) -> str:
    """What a failed run's log says from its last error on; all of it where there is none.

    Errors that only follow from another one, and those that Python ignores, are no last error.
    """
    text = _IGNORED.sub("", log_tail.replace("\r\n", "\n"))
    heads = (m.start() for m in _ERROR.finditer(text) if m["name"] not in _FOLLOW_UPS)
    return text[max(heads, default=0) :]


def names_gpu_memory(text: str) -> bool:
    """Whether a text tells in CUDA's words, or a library's, that GPU memory ran out."""
    return _GPU_MEMORY.text.search(text) is not None


def _enough_alone(message: str) -> bool | None:
    """Whether PyTorch's message says that the run alone would have fitted; None: not told."""
    message = message[:2000]
    tried = re.search(rf"Tried to allocate {_SIZE}", message)
    total = re.search(rf"capaci?ty of {_SIZE}|{_SIZE} total capacity", message)
    if tried is None or total is None:
        return None
    own = re.search(rf"this process has {_SIZE} memory in use", message)
    older = re.search(rf"{_SIZE} reserved in total", message)
    if own is not None:
        needed = _bytes(own) + _bytes(tried)
    elif older is not None:
        needed = _bytes(older) + _bytes(tried) + CONTEXT_BYTES
    else:
        return None
    return needed <= _bytes(total)


def _bytes(match: re.Match[str]) -> float:
    number, unit = (group for group in match.groups() if group is not None)
    return float(number) * _BYTES[unit]
