"""The compiled code of a run: its own for the project, shared for the environment.

A cache in the tree is read by every run after the one that wrote it, whatever the sources say.
The packages of an environment are compiled once for all runs, or each would take seconds more.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from wildloop.flows.files.paths import RunPaths

SHARED = "bytecode"
_NAMED_BY = ("VIRTUAL_ENV", "CONDA_PREFIX")
_IN_PROJECT = (".venv", "venv")


def prepare_bytecode(paths: RunPaths, cwd: Path, env: Mapping[str, str], home: Path) -> None:
    """Make the folder that PYTHONPYCACHEPREFIX names, with links for what is shared.

    Args:
        paths: of the run.
        cwd: where it will work.
        env: its environment, by which its Python is known.
        home: folder of Wildloop's own files, where the shared part lies.

    Raises:
        OSError: it cannot be made.
    """
    shared = home / SHARED
    shared.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.rmtree(paths.bytecode, ignore_errors=True)
    paths.bytecode.mkdir(mode=0o700)
    linked: list[Path] = []
    for place in sorted(set(_environments(cwd, env)), key=lambda place: len(place.parts)):
        if any(place.is_relative_to(one) for one in linked):
            continue
        below = place.relative_to(place.anchor)
        (shared / below).mkdir(parents=True, exist_ok=True)
        link = paths.bytecode / below
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((shared / below).absolute(), target_is_directory=True)
        linked.append(place)


def remove_bytecode(paths: RunPaths) -> None:
    """Remove a run's compiled code; what is shared stays."""
    shutil.rmtree(paths.bytecode, ignore_errors=True)


def _environments(cwd: Path, env: Mapping[str, str]) -> Iterator[Path]:
    """The folders of Python environments; none in which the run works."""
    found = [Path(env[name]) for name in _NAMED_BY if env.get(name)]
    found += [cwd / name for name in _IN_PROJECT if (cwd / name).is_dir()]
    if "HOME" in env:
        found.append(Path(env["HOME"]) / ".local")
    for program in ("python", "python3"):
        if (python := shutil.which(program, path=env.get("PATH"))) is not None:
            found += [Path(python).parent.parent, Path(python).resolve().parent.parent]
    for place in found:
        for one in (place.absolute(), place.resolve()):
            if one != Path(one.anchor) and not cwd.resolve().is_relative_to(one):
                yield one
