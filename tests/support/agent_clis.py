"""The real agent CLIs, installed once into the user's cache."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.debian import apt_install

PACKAGES = {
    "claude": "@anthropic-ai/claude-code@2.1.197",
    "codex": "@openai/codex@0.169.0",
    "opencode": "opencode-ai@1.18.33",
}
NPM_SECONDS = 900


def agent_cli(name: str) -> Path:
    """The program of an agent, installed if need be; skips the test where it cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    package = PACKAGES[name]
    folder = cache / "wildloop-agent-clis" / package.rpartition("/")[2].replace("@", "-")
    program = folder / "node_modules" / ".bin" / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            _install(_npm(), package, folder)
            (folder / "installed").touch()
    return program


def _npm() -> str:
    npm = shutil.which("npm")
    if npm is None:
        fault = apt_install("nodejs", "npm")
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip(f"npm, which the real agent CLIs need, cannot be installed: {fault}")
    return npm


def _install(npm: str, package: str, folder: Path) -> None:
    (folder / "package.json").write_text('{"private": true}\n')
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), package]
    _run(command, NPM_SECONDS)


def _run(command: list[str], seconds: float) -> None:
    """Run a command of the installation; skip the test if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"`{' '.join(command)}` took longer than {seconds:g} s")
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-500:]
        pytest.skip(f"`{' '.join(command)}` failed: {said}")
