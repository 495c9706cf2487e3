"""Which files of a project its patterns name."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

MAX_FILES = 10_000
MAX_ROOTS = 200
# Wildloop and git write here all the time.
_NEVER = frozenset({".git", ".wild"})
# Where a wildcard at a pattern's beginning is not to lead.
_NOT_BY_WILDCARD = frozenset({".venv", "venv", "node_modules", ".tox", ".mypy_cache"})
_CACHE = re.compile(r"(^|/)(__pycache__|\.ipynb_checkpoints)(/|$)|\.py[co]$|(^|/)\.DS_Store$")
_MAGIC = re.compile(r"[*?\[]")


class TooManyFiles(Exception):
    """The patterns name more files than can be watched; the text says what to do."""


def matching(root: Path, patterns: Sequence[str]) -> list[str]:
    """The files and symbolic links that the patterns name, relative to `root`, sorted.

    Patterns are those of .gitignore, counted from the project's folder: `eval.py`, `data/test`
    and `data/test/**` (all below it), `**/*.csv`. A symbolic link is never followed: where one
    stands on a pattern's way, the link itself is named. Caches of Python and the like are no
    part of a project.

    Raises:
        TooManyFiles: over 10,000 files.
    """
    found: set[str] = set()
    for pattern in patterns:
        anchored = GitIgnoreSpec.from_lines([f"/{normal(pattern)}"])
        for name in _walk(root, _start(normal(pattern))):
            if name in found or _CACHE.search(name):
                continue
            if anchored.match_file(name) or _is_on_the_way(root, name, pattern):
                found.add(name)
        if len(found) > MAX_FILES:
            raise TooManyFiles(
                f"the protected patterns name over {MAX_FILES} files (with '{pattern}'): protect "
                "an archive or an index of them instead"
            )
    return sorted(found)


def roots(root: Path, patterns: Sequence[str]) -> list[str]:
    """The fewest files and folders that hold all that the patterns name and nothing else."""
    found: set[str] = set()
    for pattern in patterns:
        whole = normal(pattern).removesuffix("/**")
        if not _MAGIC.search(whole) and (root / whole).exists():
            found.add(whole)
        else:
            found.update(matching(root, [pattern])[:MAX_ROOTS])
    return sorted(found)


def normal(pattern: str) -> str:
    """The pattern without `./` and a slash at its end."""
    return PurePosixPath(pattern).as_posix()


def _start(pattern: str) -> str:
    """The folder or file at which the search begins: what stands before the first wildcard."""
    parts = PurePosixPath(pattern).parts
    plain = []
    for part in parts:
        if _MAGIC.search(part):
            break
        plain.append(part.replace("\\", ""))
    return "/".join(plain)


def _is_on_the_way(root: Path, name: str, pattern: str) -> bool:
    return (root / name).is_symlink() and f"{_start(normal(pattern))}/".startswith(f"{name}/")


def _walk(root: Path, start: str) -> Iterator[str]:
    """Files and links at and below `start`; only the first link on the way to it."""
    parts = PurePosixPath(start).parts if start else ()
    if _NEVER & set(parts[:1]):
        return
    for depth in range(1, len(parts) + 1):
        name = "/".join(parts[:depth])
        if (root / name).is_symlink():
            yield name
            return
    place = root / start
    if place.is_file():
        yield start
        return
    for folder, names, files in os.walk(place):
        inside = PurePosixPath(os.path.relpath(folder, root)).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        skipped = _NEVER if prefix == "" else frozenset()
        names[:] = [name for name in names if name not in skipped | _NOT_BY_WILDCARD]
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        for name in (*files, *links):
            yield f"{prefix}{name}"
