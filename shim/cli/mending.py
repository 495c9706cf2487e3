"""What `wildloop doctor --fix` mends: faults that it finds, by changes that lose nothing."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wildloop.flows.files.paths import make_ignored
from wildloop.flows.project import FILE
from wildloop.flows.settings import TOKEN_VARIABLE
from wildloop.shim.cli.findings import Finding
from wildloop.shim.home import HomeFault, check_token, explained, open_home
from wildloop.shim.lock import holder_of
from wildloop.shim.up_note import note_path

OTHERS = stat.S_IRWXG | stat.S_IRWXO
IGNORED = ("runs", "worktrees")
FIX = "`wildloop doctor --fix` does it"


@dataclass(frozen=True)
class Mend:
    """A fault, what to do about it by hand, and the change that does it.

    `change` says what it did, in the past tense; it may raise OSError.
    """

    check: str
    fault: str
    by_hand: str
    change: Callable[[], str]
    fatal: bool = False
    is_fault: bool = True
    """Whether it is worth a word where nothing is to be mended."""

    def told(self) -> Finding:
        """The fault, with its mend."""
        text = f"{self.fault}: {self.by_hand}; {FIX}"
        return Finding(check=self.check, ok=False, fatal=self.fatal, text=text)

    def done(self) -> Finding:
        """The change made, or why it could not be."""
        try:
            return Finding(check=self.check, ok=True, mended=True, text=self.change())
        except OSError as error:
            text = f"{self.fault}: could not be mended: {explained(error)}"
            return Finding(check=self.check, ok=False, fatal=self.fatal, text=text)
        except HomeFault as error:
            return Finding(check=self.check, ok=False, fatal=True, text=str(error))


def mends(home: Path, folder: Path) -> Iterator[Mend]:
    """What is found that can be mended safely, of the home and of the project in `folder`."""
    if not (home / "run").exists():
        yield _missing_home(home)
    # Whoever reads these may do all that the user may.
    for path in (home / "token", note_path(home), home / "postgres" / "password"):
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & OTHERS:
            yield _open_file(path)
    if (token := _empty_token(home)) is not None:
        yield token
    if note_path(home).exists() and not _is_locked(home):
        yield _stale_note(home)
    for name in IGNORED:
        kept = folder / ".wild" / name
        if kept.is_dir() and not (kept / ".gitignore").exists():
            yield _seen_by_git(kept)


def can_offer_init(folder: Path) -> bool:
    """Whether a draft of wildloop.toml may be offered: somebody is there to answer."""
    is_asked = os.isatty(0) and os.isatty(1)
    return is_asked and (folder / ".git").exists() and not (folder / FILE).exists()


def _missing_home(home: Path) -> Mend:
    def change() -> str:
        open_home(home)
        return f"made {home}, for you alone"

    fault = f"{home} is not there, or not whole"
    return Mend("home", fault, "`wildloop up` makes it", change, is_fault=False)


def _open_file(path: Path) -> Mend:
    mode = stat.S_IMODE(path.stat().st_mode)

    def change() -> str:
        path.chmod(mode & ~OTHERS)
        return f"{path} had mode {mode:04o} and has {mode & ~OTHERS:04o} now: {_WAS_OPEN}"

    fault = f"other users of this machine may read {path} (mode {mode:04o})"
    return Mend(f"{path.name} file", fault, f"`chmod go-rwx {path}`", change)


_WAS_OPEN = "if others were here meanwhile, run `wildloop down`, remove the token, and start anew"


def _empty_token(home: Path) -> Mend | None:
    path = home / "token"
    if TOKEN_VARIABLE in os.environ or _is_locked(home):
        return None
    try:
        check_token(path)
    except HomeFault as error:
        aside = path.with_name("token.aside")
        said = str(error)
    except OSError:
        return None
    else:
        return None

    def change() -> str:
        path.replace(aside)
        return f"moved {path} to {aside.name}: `wildloop up` makes a new one"

    return Mend("token file", said, f"`mv {path} {aside}`", change, fatal=True)


def _stale_note(home: Path) -> Mend:
    path = note_path(home)

    def change() -> str:
        path.unlink(missing_ok=True)
        return f"removed {path}, which a server that was killed had left"

    fault = f"{path} names a server that does not run any more"
    return Mend("note of `up`", fault, f"`rm {path}`", change)


def _seen_by_git(kept: Path) -> Mend:
    def change() -> str:
        make_ignored(kept)
        return f"git sees nothing below {kept} any more ({kept / '.gitignore'})"

    fault = f"git sees what lies in {kept}"
    return Mend(f".wild/{kept.name}", fault, f"`echo '*' > {kept / '.gitignore'}`", change)


def _is_locked(home: Path) -> bool:
    """Whether an `up`, or the guard of one that was killed, works on this home."""
    lock = home / "run" / "lock"
    return lock.exists() and holder_of(lock) is not None
