"""Why a run has failed, by exit code and log."""

import pytest

from wildloop.flows.alerts.ending import end_finding
from wildloop.flows.models.alert import AlertKind, Severity

TORCH = """Traceback (most recent call last):
  File "train.py", line 3, in <module>
torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total
"""
NUMPY = """Traceback (most recent call last):
numpy.core._exceptions._ArrayMemoryError: Unable to allocate 7.28 TiB for an array
"""


@pytest.mark.parametrize(
    ("log", "code", "said"),
    [
        (TORCH, 1, "the GPU ran out of memory"),
        (NUMPY, 1, "the host ran out of memory"),
        ("MemoryError\n", 1, "the host ran out of memory"),
        ("MemoryError: no\r\n", 1, "the host ran out of memory"),
        ("terminate called after throwing an instance of 'std::bad_alloc'\n", 134, "the host"),
        ("OSError: [Errno 12] Cannot allocate memory\n", 1, "the host ran out of memory"),
        ("epoch 1\n", 137, "killed, most likely"),
        ("", 137, "killed, most likely"),
    ],
)
def test_out_of_memory_is_told_by_whose_memory(log: str, code: int, said: str) -> None:
    finding = end_finding(f"exit code {code}", code, log)
    assert finding.kind is AlertKind.OUT_OF_MEMORY
    assert finding.severity is Severity.CRITICAL
    assert finding.message.startswith(said)
    assert finding.message.endswith(f": exit code {code}")


def test_scheduler_that_ended_it_for_memory_is_believed() -> None:
    finding = end_finding("OUT_OF_MEMORY (exit code 0)", 0, "")
    assert finding.kind is AlertKind.OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("message", "code", "log", "timed_out"),
    [
        ("exit code 7", 7, "", False),
        ("time-out after 5 s", 137, "", True),
        ("TIMEOUT (exit code 137)", 137, "", False),
        ("exit code 1", 1, TORCH + "went on with a smaller batch\nValueError: shapes\n", False),
        ("exit code 1", 1, "no MemoryErrors in this run\n", False),
        ("exit code 143", 143, "", False),
    ],
)
def test_other_ends_are_an_exit(message: str, code: int, log: str, timed_out: bool) -> None:
    finding = end_finding(message, code, log, timed_out=timed_out)
    assert (finding.kind, finding.severity) == (AlertKind.EXIT, Severity.INFO)
    assert finding.message == message
    assert "stop" not in finding.choices


def test_a_lost_process_is_a_warning() -> None:
    finding = end_finding("lost: gone", None, "")
    assert (finding.kind, finding.severity) == (AlertKind.EXIT, Severity.WARNING)


@pytest.mark.parametrize(
    "log",
    [
        "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.\n",
        "Unable to determine the device handle for GPU 0000:01:00.0: GPU is lost.\n",
        "RuntimeError: CUDA error: uncorrectable ECC error encountered\n",
    ],
)
def test_a_gpu_that_fell_off_is_told_first(log: str) -> None:
    finding = end_finding("exit code 1", 1, log + TORCH)
    assert (finding.kind, finding.severity) == (AlertKind.GPU_LOST, Severity.CRITICAL)
