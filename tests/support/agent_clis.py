"""The real agent CLIs, installed once into the user's cache, and set up for a stub model."""

import fcntl
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.debian import apt_install

PACKAGES = {
    "claude": "@anthropic-ai/claude-code@2.1.197",
    "codex": "@openai/codex@0.169.0",
    "opencode": "opencode-ai@1.18.33",
}
SLOWEST = "opencode"
"""It starts for ten seconds of a core, each time."""
NPM_SECONDS = 900
CODEX_RETRIES = ("request", "stream")
PLUGIN = "@opencode-ai/plugin"
STUB_PRICE = {"input": 1.0, "output": 10.0, "cache_read": 0.1}


def block_fields(
    name: str, url: str, home: Path, key: str, tries_again: bool = False
) -> dict[str, Any]:
    """Fields of an agent's block: the tool with a home of its own and a stub model at `url`.

    Claude Code and Codex do not ask the model again by themselves, unless `tries_again`. OpenCode,
    which always does, is told `STUB_PRICE`.
    """
    environment = private_home(home)
    fields: dict[str, Any] = {"executable": str(agent_cli(name)), "retries": 0}
    match name:
        case "claude":
            environment |= {"ANTHROPIC_API_KEY": key}
            environment |= {} if tries_again else {"CLAUDE_CODE_MAX_RETRIES": "0"}
            fields |= {"base_url": url}
        case "codex":
            environment |= {"OPENAI_API_KEY": key}
            retries = [f"model_providers.wildloop.{kind}_max_retries=0" for kind in CODEX_RETRIES]
            arguments = [word for retry in retries for word in ("-c", retry) if not tries_again]
            fields |= {"base_url": f"{url}/v1", "model": "gpt-5.5", "extra_arguments": arguments}
        case "opencode":
            environment |= {"STUB_KEY": key, "OPENCODE_DISABLE_MODELS_FETCH": "1"}
            without_plugin(home)
            options = {"baseURL": f"{url}/v1", "apiKey": "{env:STUB_KEY}"}
            models = {"stub": {"name": "stub", "cost": STUB_PRICE}}
            provider = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": models}
            fields |= {"model": "stub/stub", "configuration": {"provider": {"stub": provider}}}
    return fields | {"environment": environment}


def private_home(home: Path) -> dict[str, str]:
    """Variables that keep what a tool stores under this folder."""
    kinds = ("CACHE", "CONFIG", "DATA", "STATE")
    return {"HOME": str(home)} | {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in kinds}


def without_plugin(home: Path) -> None:
    """Have OpenCode take its plugin package, 20 MB for every new home, for installed."""
    folder = home / "config" / "opencode"
    (folder / "node_modules").mkdir(parents=True, exist_ok=True)
    packages = {"": {"dependencies": {PLUGIN: "*"}}}
    (folder / "package-lock.json").write_text(json.dumps({"packages": packages}))


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
