"""WILDLOOP_HOME as it must be before anything is started."""

import errno
import os
import resource
import tempfile
from pathlib import Path

from wildloop.flows.errors import WildloopError
from wildloop.flows.settings import HOME_VARIABLE, TOKEN_VARIABLE

FEWEST_FILES = 1024
ELSEWHERE = f"set {HOME_VARIABLE} to a folder that can be written"
MENDS = {
    errno.EROFS: f"it is mounted read-only: {ELSEWHERE}",
    errno.EACCES: f"this user may not write there: {ELSEWHERE}",
    errno.EPERM: f"this user may not write there: {ELSEWHERE}",
    errno.ENOSPC: f"the disk is full: free some space, or {ELSEWHERE}",
    errno.EDQUOT: f"the quota is used up: free some space, or {ELSEWHERE}",
    errno.ENOTDIR: f"a file lies in the place of a folder: move it away, or {ELSEWHERE}",
    errno.EEXIST: f"a file lies in the place of a folder: move it away, or {ELSEWHERE}",
    errno.EISDIR: f"a folder lies in the place of a file: move it away, or {ELSEWHERE}",
    errno.ENOENT: f"no folder can be made there: {ELSEWHERE}",
    errno.ENAMETOOLONG: f"the path is too long: {ELSEWHERE}",
    errno.EMFILE: "too many files are open: raise `ulimit -n`",
}


class HomeFault(WildloopError):
    """The home cannot be used; the text says why and what to do."""


def open_home(home: Path) -> None:
    """Make the home, for its user alone, and see that it can be written.

    Raises:
        HomeFault: it cannot be.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / "run").mkdir(exist_ok=True, mode=0o700)
        # What is there may have become read-only since, or be another's.
        for folder in (home, home / "run", home / "logs"):
            if folder.exists():
                _try_to_write(folder)
        check_token(home / "token")
    except OSError as error:
        raise HomeFault(f"WILDLOOP_HOME {explained(error, home)}") from error


def check_token(path: Path) -> None:
    """See that a token file holds one: an empty token would open the server to all.

    Raises:
        HomeFault: it holds none.
        OSError: it cannot be read.
    """
    if TOKEN_VARIABLE in os.environ:
        return
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or len(text.split()) != 1:
        raise HomeFault(f"'{path}' holds no token: remove it, and `wildloop up` makes a new one")


def _try_to_write(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"1")
    except OSError as error:
        # The name of the file that was tried would say nothing.
        raise OSError(error.errno, error.strerror, str(folder)) from error


def explained(error: OSError, place: Path | None = None) -> str:
    """What the system refused, where, and what to do, as one line.

    `place`: named where the error itself names none.
    """
    named = error.filename if isinstance(error.filename, str) else None
    if named is None and error.filename is not None:
        named = os.fsdecode(error.filename)
    where = named if named is not None else str(place or "")
    said = f"'{where}': {error.strerror or error}" if where else str(error.strerror or error)
    mend = MENDS.get(error.errno or 0)
    return f"{said}; {mend}" if mend else said


def raise_file_limit() -> str | None:
    """Raise the soft limit of open files as far as it may be; a remark where that is too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FEWEST_FILES if hard == resource.RLIM_INFINITY else min(FEWEST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY or soft >= FEWEST_FILES:
        return None
    return f"only {soft} files may be open at once (`ulimit -n`): many runs at a time need more"
