"""How a project starts its script, as its own words (README, Makefile, job scripts) have it."""

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

SOURCE_BYTES = 200_000
PROGRAMS = 3
"""The weight of lines that a program runs (Makefile, job script), not only a reader."""
_START = re.compile(
    r"(?<![\w/.-])(?:-m\s+(?P<module>[A-Za-z_][\w.]*)|(?P<script>[\w./-]+\.py))(?P<rest>[^\n]*)"
)
_ENDS = re.compile(r"\s*(?:[`|;#&>]|\)|$|\s-\s)")
_OPEN = re.compile(r"[<>\[\]{}$*]|\.\.\.|…")


@dataclass(frozen=True)
class Invocation:
    """A line that starts a script.

    `arguments` are those it gives; None where some are left to the reader, as in `<path>`.
    """

    path: str
    is_module: bool
    arguments: tuple[str, ...] | None
    file: str
    weight: int


def invocations(root: Path, files: list[str]) -> list[Invocation]:
    """Every line of the project's own words that starts a script, the weightiest first."""
    found = []
    for name in files:
        if weight := _weight(name):
            found += _in_file(root, name, weight, set(files))
    return sorted(found, key=lambda one: -one.weight)


def _weight(name: str) -> int:
    lower = name.lower().rpartition("/")[2]
    if lower in ("makefile", "justfile") or lower.endswith((".sbatch", ".slurm")):
        return PROGRAMS
    return 2 if lower.startswith(("readme", "program.md")) or lower.endswith(".sh") else 0


def _in_file(root: Path, name: str, weight: int, files: set[str]) -> list[Invocation]:
    try:
        text = (root / name).read_text("utf-8", "replace")[:SOURCE_BYTES]
    except OSError:
        return []
    text = re.sub(r"\\\n\s*", " ", text)
    found = []
    for match in _START.finditer(text):
        module = match["module"]
        path = f"{module.replace('.', '/')}.py" if module else match["script"].removeprefix("./")
        if module and path not in files:
            path = f"{module.replace('.', '/')}/__main__.py"
        if path in files:
            given = _arguments(match["rest"])
            found.append(Invocation(path, module is not None, given, name, weight))
    return found


def _arguments(rest: str) -> tuple[str, ...] | None:
    """The words up to the end of the command; None where one stands for another."""
    words = rest
    for place in range(len(rest) + 1):
        if _ENDS.match(rest, place):
            words = rest[:place]
            break
    if _OPEN.search(words):
        return None
    try:
        return tuple(shlex.split(words))
    except ValueError:
        return None


def needs_module(root: Path, path: str, imported: frozenset[str]) -> bool:
    """Whether a script imports what is found from the project's root only: `python -m` sets it."""
    folder = path.rpartition("/")[0]
    if not folder or not all(part.isidentifier() for part in folder.split("/")):
        return False
    return any(
        _is_there(root, name) and not _is_there(root / folder, name) for name in sorted(imported)
    )


def _is_there(folder: Path, name: str) -> bool:
    return (folder / name).is_dir() or (folder / f"{name}.py").is_file()


def launcher(root: Path) -> tuple[str, str]:
    """What runs Python here, and why."""
    said = (
        "uv.lock or [tool.uv]"
        if (root / "uv.lock").exists() or _has(root / "pyproject.toml", "[tool.uv")
        else next((name for name in ("README.md", "program.md", "Makefile")
                   if _has(root / name, "uv run ")), "")
    )  # fmt: skip
    if said and shutil.which("uv"):
        return "uv run python", said
    if (root / "pixi.toml").exists() and shutil.which("pixi"):
        return "pixi run python", "pixi.toml"
    for name in ("environment.yml", "environment.yaml"):
        if (root / name).exists():
            tool = next(
                (one for one in ("micromamba", "mamba", "conda") if shutil.which(one)), None
            )
            title = re.search(r"^name:\s*(\S+)", (root / name).read_text("utf-8", "replace"), re.M)
            if tool and title:
                return f"{tool} run -n {title[1]} python", name
    if (root / "poetry.lock").exists() and shutil.which("poetry"):
        return "poetry run python", "poetry.lock"
    for folder in (".venv", "venv"):
        if (root / folder / "bin" / "python").exists():
            return f"{folder}/bin/python", f"the virtual environment {folder}"
    if shutil.which("python") is None and shutil.which("python3") is not None:
        return "python3", "no environment manager was found, and no `python` on PATH"
    if said:
        return "python", f"{said} names uv, which is not on PATH"
    return "python", "no environment manager was found"


def _has(path: Path, text: str) -> bool:
    try:
        return text in path.read_text("utf-8", "replace")
    except OSError:
        return False
