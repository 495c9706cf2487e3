"""A file system that is full for a while, and then has room again."""

import time
from pathlib import Path

FULL_SECONDS = 20.0
LOOK_SECONDS = 0.2
CHUNK = bytes(1 << 16)


def full_for_a_while(folder: Path, seconds: float = FULL_SECONDS) -> None:
    """Fill the file system of a folder to its last byte, keep it full, free it again."""
    path = folder / "fill"
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            # What others free meanwhile is taken as well.
            _take_all(path)
            time.sleep(LOOK_SECONDS)
    finally:
        path.unlink(missing_ok=True)


def _take_all(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        try:
            while file.write(CHUNK):
                pass
        except OSError:
            return
