"""What a run's Python has installed, kept once per content."""

import asyncio
import hashlib
import secrets
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from wildloop.flows.files.disk import when_there_is_room
from wildloop.flows.files.manifest import EnvironmentNote
from wildloop.flows.files.paths import make_ignored
from wildloop.flows.run.startup import startup_files

PROBE_SECONDS = 20.0
CONDA = ("conda", "mamba", "micromamba")
CONDA_HOMES = ("micromamba", ".local/share/mamba", "miniconda3", "anaconda3", "miniforge3")
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

    async def record(
        self, project: Path, env: Mapping[str, str], command: str = ""
    ) -> EnvironmentNote:
        """Record the packages of the Python that a command of this environment is carried out by.

        They are written to `<project>/.wild/environments/<hash>.txt`.
        """
        driver = await asyncio.to_thread(_driver)
        python = await asyncio.to_thread(python_of, command, project, env)
        if python is None:
            return EnvironmentNote(driver=driver)
        startup = await asyncio.to_thread(startup_files, Path(python))
        key = (python, await asyncio.to_thread(_packages_changed_at, Path(python)))
        text = self._known.get(key)
        if text is None:
            text = self._known[key] = await _probe(python, env)
        if not text:
            return EnvironmentNote(python=python, driver=driver, startup=startup)
        digest = hashlib.sha256(text.encode()).hexdigest()
        path = project / ".wild" / "environments" / f"{digest[:16]}.txt"
        await when_there_is_room(lambda: _write_once(path, text), path.parent)
        return EnvironmentNote(
            python=python, hash=digest, file=str(path), driver=driver, startup=startup
        )


def python_of(command: str, folder: Path, env: Mapping[str, str]) -> str | None:
    """The Python that a command names or that its launcher uses, else the first on the PATH.

    `.venv/bin/python train.py`, `uv run train.py` (the project's `.venv`, or
    UV_PROJECT_ENVIRONMENT), `micromamba run -p PREFIX python train.py` or `-n NAME`.
    """
    try:
        words = [word for word in shlex.split(command) if "=" not in word]
    except ValueError:
        words = []
    first = Path(words[0]) if words else Path()
    candidates: list[Path] = []
    if "/" in str(first) and first.name.startswith("python"):
        candidates = [folder / first]
    elif first.name == "uv" and words[1:2] == ["run"]:
        candidates = [folder / env.get("UV_PROJECT_ENVIRONMENT", ".venv") / "bin" / "python"]
    elif len(words) > 1 and first.name in CONDA and words[1] == "run":
        candidates = [one / "bin" / "python" for one in _conda_prefixes(words, folder, env)]
    found = next((str(one) for one in candidates if one.exists()), None)
    path = env.get("PATH")
    return found or shutil.which("python", path=path) or shutil.which("python3", path=path)


def _conda_prefixes(words: Sequence[str], folder: Path, env: Mapping[str, str]) -> Iterator[Path]:
    for option, value in pairwise(words):
        if option in ("-p", "--prefix"):
            yield folder / value
        if option in ("-n", "--name"):
            roots = [env.get("MAMBA_ROOT_PREFIX"), env.get("CONDA_ROOT")]
            if exe := env.get("CONDA_EXE"):
                roots.append(str(Path(exe).parent.parent))
            home = Path(env.get("HOME", "~")).expanduser()
            roots += [str(home / name) for name in CONDA_HOMES]
            yield from (Path(root) / "envs" / value for root in roots if root)


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
    """Write the file unless it is there; runs that begin at the same time each come by here."""
    if path.exists():
        return
    make_ignored(path.parent)
    temporary = path.with_suffix(f".{secrets.token_hex(8)}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
