"""Commands that do not see a folder, by bubblewrap."""

import os
import shlex
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from wildloop.blocks.bubblewrap import PROGRAM, fault

_GPUS = ("nvidia", "kfd", "dri")
# What would let root look behind a mount: mounting, the roots of other processes, file handles.
_NOT_FOR_ROOT = (
    "CAP_SYS_ADMIN",
    "CAP_SYS_PTRACE",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_DAC_READ_SEARCH",
    "CAP_MKNOD",
)


def without(folder: Path, command: str) -> str:
    """The shell command that runs `command` as it is, but with `folder` empty and read-only."""
    words = [*_arguments(folder), "--", "bash", "-c", command]
    return "exec " + shlex.join(words)


@cache
def why_not(folder: Path) -> str | None:
    """Why commands cannot be kept from a folder here; None where they can. Asked once."""
    if shutil.which(PROGRAM) is None:
        return "bubblewrap is not installed"
    return fault([*_arguments(folder), "--", "true"])


def alone(scratch: Path, workdir: Path, command: str) -> list[str]:
    """The words that run `command` with all to read and `scratch` alone to write, $TMPDIR too.

    Neither network nor any other file can take out what it has read.
    """
    words = [PROGRAM, "--unshare-net", "--unshare-ipc", "--die-with-parent", *_less_root()]
    words += ["--ro-bind", "/", "/", "--dev", "/dev"]
    for device in sorted(Path("/dev").iterdir()):
        if device.name.startswith(_GPUS):
            words += ["--dev-bind-try", str(device), str(device)]
    words += ["--bind", str(scratch), str(scratch), "--setenv", "TMPDIR", str(scratch)]
    return [*words, "--chdir", str(workdir), "--", "bash", "-c", command]


def _arguments(folder: Path) -> Sequence[str]:
    name = str(folder)
    return [PROGRAM, *_less_root(), "--dev-bind", "/", "/", "--tmpfs", name, "--remount-ro", name]


def _less_root() -> list[str]:
    if os.geteuid() != 0:
        return []
    return [word for name in _NOT_FOR_ROOT for word in ("--cap-drop", name)]
