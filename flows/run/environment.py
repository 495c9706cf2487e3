"""What a run's Python has installed, kept once per content."""

import asyncio
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from wildloop.flows.files.disk import when_there_is_room
from wildloop.flows.files.manifest import EnvironmentNote
from wildloop.flows.files.paths import make_ignored

PROBE_SECONDS = 20.0
# Run by the run's own Python, which need not be ours: it must not need anything but itself.
PROBE = r"""
import importlib.metadata as m, platform, sys
found = {(d.metadata["Name"] or "?") + "==" + (d.version or "?") for d in m.distributions()}
print("# python " + platform.python_version() + " " + sys.executable)
print("\n".join(sorted(found, key=str.lower)))
"""
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


class EnvironmentRecorder:
    """Records environments; asks the same Python again only if its packages may have changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, float], str] = {}

    async def record(self, project: Path, env: Mapping[str, str]) -> EnvironmentNote:
        """Record the packages of the `python` that a command of this environment would find.

        They are written to `<project>/.wild/environments/<hash>.txt`.
        """
        driver = await asyncio.to_thread(_driver)
        python = shutil.which("python", path=env.get("PATH")) or shutil.which(
            "python3", path=env.get("PATH")
        )
        if python is None:
            return EnvironmentNote(driver=driver)
        key = (python, await asyncio.to_thread(_packages_changed_at, Path(python)))
        text = self._known.get(key)
        if text is None:
            text = self._known[key] = await _probe(python, env)
        if not text:
            return EnvironmentNote(python=python, driver=driver)
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = project / ".wild" / "environments" / f"{digest[:16]}.txt"
        await when_there_is_room(lambda: _write_once(path, text), path.parent)
        return EnvironmentNote(python=python, hash=digest, file=str(path), driver=driver)


async def _probe(python: str, env: Mapping[str, str]) -> str:
    """The packages; empty where this Python does not answer: the run itself will say why."""
    process = await asyncio.create_subprocess_exec(
        python,
        "-c",
        PROBE,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(env),
    )
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return ""
    return out.decode("utf-8", "replace") if process.returncode == 0 else ""


def _packages_changed_at(python: Path) -> float:
    """When a package was last installed or removed beside this Python."""
    prefix = python.parent.parent
    folders = [*prefix.glob("lib/python3*/site-packages"), *prefix.glob("lib64/python3*/site-*")]
    return max((folder.stat().st_mtime for folder in folders), default=0.0)


def _driver() -> str | None:
    try:
        return NVIDIA_DRIVER.read_text(encoding="utf-8", errors="replace").splitlines()[0].strip()
    except (OSError, IndexError):
        return None


def _write_once(path: Path, text: str) -> None:
    if path.exists():
        return
    make_ignored(path.parent)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
