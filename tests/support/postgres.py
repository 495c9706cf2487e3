"""A PostgreSQL of Debian's, as a team's Prefect server has one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.debian import apt_install
from tests.support.pace import patient
from wildloop.shim.net import free_ports

PASSWORD = "of-the-team"


@contextmanager
def postgres_url() -> Iterator[str]:
    """An empty database; the test is skipped where PostgreSQL cannot be had."""
    programs = _programs()
    # As root it refuses to run; the package brings the user.
    user = "postgres" if os.geteuid() == 0 else None
    # Not in pytest's folder, into which other users may not look.
    root = Path(tempfile.mkdtemp(prefix="wildloop-postgres-"))
    if user is not None:
        shutil.chown(root, user)
    (root / "password").write_text(PASSWORD)
    data, port = root / "data", free_ports(1)[0]
    settings = (f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={root}")
    try:
        subprocess.run(
            [
                *(programs / "initdb", "-D", data, "-U", "team", "-A", "scram-sha-256"),
                *("--no-sync", "-E", "UTF8", f"--pwfile={root / 'password'}"),
            ],
            user=user, cwd=root, check=True, capture_output=True, timeout=patient(60),
        )  # fmt: skip
        with (root / "log").open("wb") as log:
            server = subprocess.Popen(
                [programs / "postgres", "-D", data, *(f"--{one}" for one in settings)],
                user=user, cwd=root, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            _create(programs, port)
            yield f"postgresql+asyncpg://team:{PASSWORD}@127.0.0.1:{port}/prefect"
        finally:
            server.terminate()
            server.wait(patient(60))
    finally:
        shutil.rmtree(root)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        missing = apt_install("postgresql")
        if missing is not None:
            pytest.skip(f"PostgreSQL cannot be had: {missing}")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent


def _create(programs: Path, port: int) -> None:
    """Make the database, once the server answers."""
    env = dict(os.environ) | {"PGPASSWORD": PASSWORD}
    where = ["-h", "127.0.0.1", "-p", str(port), "-U", "team"]
    subprocess.run(
        ["bash", "-c", 'until "$0" "$@"; do sleep 0.1; done', programs / "pg_isready", *where],
        env=env, check=True, capture_output=True, timeout=patient(60),
    )  # fmt: skip
    subprocess.run([programs / "createdb", *where, "prefect"], env=env, check=True, timeout=60)
