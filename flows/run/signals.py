"""What is known of the signal that has ended a command."""

import signal
from pathlib import Path

from wildloop.blocks.launchers.record import oom_kills, peak_memory

MEMORY_SPENT = "the kernel ended it for want of memory"
NOT_FOR_MEMORY = "not for want of memory"
SIGNALLED = 128
GB = 1e9
NAMES = {one.value: one.name for one in signal.Signals}


def signal_note(exit_code: int | None, root: Path) -> str:
    """The signal, and for KILL whose it was, as an addition to the exit code; empty for none.

    Args:
        exit_code: of the command: 128 and the signal's number.
        root: the run's folder.
    """
    number = (exit_code or 0) - SIGNALLED
    if number not in NAMES:
        return ""
    kills, peak = oom_kills(root), peak_memory(root)
    had = f", peak {peak / GB:.2f} GB" if peak is not None else ""
    if number == signal.SIGKILL and kills:
        return f" ({MEMORY_SPENT}{had}: try a smaller batch, or fewer runs at once)"
    if number == signal.SIGKILL and kills == 0:
        return f" (SIGKILL from a person or a program, {NOT_FOR_MEMORY}{had})"
    return f" ({NAMES[number]}{had})"
