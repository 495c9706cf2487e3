"""What a Python carries out by itself before a program's first line, and who has put it there.

A `.pth` file, a `sitecustomize.py` or a script in place of the interpreter can exchange the
evaluation of every run, without a trace in its code, its command or the list of its packages.
"""

import base64
import csv
import hashlib
from collections.abc import Iterator
from pathlib import Path

CUSTOMIZE = ("sitecustomize.py", "usercustomize.py")
# What virtualenv and uv put into each environment that they make, at once with it.
_VIRTUALENV, _AT_ONCE_S = ("_virtualenv.pth", "_virtualenv.py"), 120.0
_PROGRAMS = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"MZ")


def startup_files(python: Path) -> dict[str, float]:
    """Files that no installed package brings and that this Python carries out by itself.

    Returns:
        Path to when it was last changed, by its inode (Unix seconds).
    """
    found = dict(_scripts(python))
    for place in _places(python):
        for path in (*place.glob("*.pth"), *(place / name for name in CUSTOMIZE)):
            try:
                if not _is_of_a_package(path) and not _is_of_the_making(path):
                    found[str(path)] = path.stat().st_ctime
            except OSError:
                continue
    return found


def _scripts(python: Path) -> Iterator[tuple[str, float]]:
    """The interpreter itself where it is no program of the machine's."""
    try:
        real = python.resolve(strict=True)
        with real.open("rb") as file:
            if not file.read(4).startswith(_PROGRAMS):
                yield str(python), max(real.stat().st_ctime, python.lstat().st_ctime)
    except OSError:
        return


def _places(python: Path) -> Iterator[Path]:
    prefixes = {python.parent.parent, python.resolve().parent.parent, Path.home() / ".local"}
    for prefix in sorted(prefixes):
        for library in sorted(prefix.glob("lib*/python3*")):
            yield library
            yield from (library / name for name in ("site-packages", "dist-packages"))


def _is_of_a_package(path: Path) -> bool:
    """Whether an installed package lists it with this very content; true where it is missing."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return True
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    for record in path.parent.glob("*.dist-info/RECORD"):
        listed = record.read_bytes()
        # Each run asks this of hundreds of long lists: only the few that name it are read.
        if path.name.encode() in listed:
            lines = listed.decode("utf-8", errors="replace").splitlines(keepends=True)
            for row in csv.reader(line for line in lines if path.name in line):
                if row[:2] == [path.name, f"sha256={digest}"]:
                    return True
    return False


def _is_of_the_making(path: Path) -> bool:
    """Whether it is virtualenv's own, untouched since the environment was made."""
    made = path.parents[3] / "pyvenv.cfg"
    if path.name != _VIRTUALENV[0] or not made.exists():
        return False
    if path.read_text(encoding="utf-8", errors="replace").strip() != "import _virtualenv":
        return False
    times = [(path.parent / name).stat().st_ctime for name in _VIRTUALENV]
    return max(times) - made.stat().st_ctime < _AT_ONCE_S
