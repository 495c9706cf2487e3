"""More workers beside the one of `wildloop up`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.pace import patient
from tests.support.server import Server, wait_for


@contextmanager
def another_worker(
    server: Server, ready_file: Path, *arguments: str, host: str | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A further worker of a server's pool; `host`: under another host name."""
    env = dict(server.env) | {
        "PREFECT_API_URL": f"http://127.0.0.1:{server.prefect_port}/api",
        "PREFECT_API_AUTH_STRING": f"wildloop:{server.token}",
        "PREFECT_HOME": str(ready_file.parent / "prefect"),
        "WILDLOOP_SERVER_URL": server.url,
        "WILDLOOP_WORKDIR": str(server.workdir),
    }
    command = [
        sys.executable,
        "-P",
        "-m",
        "wildloop.flows.worker.main",
        "--ready-file",
        str(ready_file),
    ]
    command += arguments
    if host is not None:
        if os.geteuid() != 0:
            pytest.skip("a second host name needs root")
        command = ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "sh", *command]
    with ready_file.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        said = ready_file.with_suffix(".log")
        wait_for(
            ready_file.exists, "the further worker is up", 90, sign=lambda: said.stat().st_size
        )
        yield process
    finally:
        process.terminate()
        process.wait(patient(30))
