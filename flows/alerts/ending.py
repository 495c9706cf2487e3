"""Why a run has failed, as far as its exit code and the end of its log tell."""

import re

from wildloop.blocks.cluster.contention import last_error, names_gpu_memory
from wildloop.flows.models.alert import CONTINUE, RERUN, AlertKind, Finding, Severity
from wildloop.flows.run.signals import MEMORY_SPENT, NOT_FOR_MEMORY

KILLED = 137
_GPU_LOST = re.compile(
    r"fallen off the bus|GPU is lost|NVRM: Xid|[Uu]ncorrectable (?:NVLink|ECC) error"
    r"|cudaErrorECCUncorrectable|CUDA_ERROR_ECC_UNCORRECTABLE|NVML_ERROR_GPU_IS_LOST"
)
_MEMORY = re.compile(
    r"^(?:\[rank\d+\]: ?)?(?:\w+\.)*_?(?:Array)?MemoryError\b|std::bad_alloc"
    r"|Cannot allocate memory|DefaultCPUAllocator: (?:can't allocate|not enough) memory"
    r"|[Oo]ut of memory: Killed process|oom[-_]kill|OUT_OF_MEMORY",
    re.MULTILINE,
)


def gpu_lost(log_tail: str) -> str | None:
    """The words by which a log tells that a GPU is no longer there; None if it does not."""
    match = _GPU_LOST.search(log_tail)
    return match[0] if match else None


def lost_gpu(words: str, message: str, key: str) -> Finding:
    """The finding of a lost GPU."""
    return Finding(
        kind=AlertKind.GPU_LOST,
        severity=Severity.CRITICAL,
        message=f"the GPU is gone or broken ('{words}'): {message}",
        choices=(CONTINUE, RERUN),
        key=f"gpu:{key}",
    )


def end_finding(
    message: str, exit_code: int | None, log_tail: str, *, timed_out: bool = False
) -> Finding:
    """What to say of a run that has failed.

    Args:
        message: how it ended, for people.
        exit_code: None where there is none.
        log_tail: the end of its log; some 64 KiB hold the longest messages.
        timed_out: Wildloop itself has killed it, so that the signal tells nothing.
    """
    words = gpu_lost(log_tail)
    if words is not None:
        return lost_gpu(words, message, "end")
    cause = None if timed_out else out_of_memory(message, exit_code, log_tail)
    if cause is not None:
        return Finding(
            kind=AlertKind.OUT_OF_MEMORY,
            severity=Severity.CRITICAL,
            message=f"{cause}: {message}",
            choices=(CONTINUE, RERUN),
            key="memory",
        )
    return Finding(
        kind=AlertKind.EXIT,
        severity=Severity.WARNING if exit_code is None else Severity.INFO,
        message=message,
        choices=(CONTINUE, RERUN),
        key="exit",
    )


def out_of_memory(message: str, exit_code: int | None, log_tail: str) -> str | None:
    """Whose memory a failed run had too little of; None if that was not its fault.

    Only the log from its last error on counts: the run went on after what stands above.
    """
    said = last_error(log_tail)
    if names_gpu_memory(said):
        return "the GPU ran out of memory"
    if _MEMORY.search(said) or "OUT_OF_MEMORY" in message:
        return "the host ran out of memory"
    if MEMORY_SPENT in message:
        return "the host ran out of memory"
    if exit_code == KILLED and "TIMEOUT" not in message and NOT_FOR_MEMORY not in message:
        return "killed, most likely because the host ran out of memory"
    return None
