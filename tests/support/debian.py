"""Debian packages that tests need, installed by one process at a time."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SECONDS = 300


def apt_install(*packages: str) -> str | None:
    """Install packages; return why it cannot be done, or None.

    Test processes run side by side, and apt refuses a second one rather than wait.
    """
    if os.geteuid() != 0:
        return "installing Debian packages needs root"
    if shutil.which("apt-get") is None:
        return "there is no apt-get"
    env = dict(os.environ) | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    with (Path(tempfile.gettempdir()) / "wildloop-tests-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A fresh image has no package lists: the first attempt then fails.
        for command in (install, ["apt-get", "update", "-qq"], install):
            done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS)
            if command is install and done.returncode == 0:
                return None
    return done.stderr.strip()[-300:]
