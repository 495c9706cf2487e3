"""Whether the files of a worktree are those of its commit, byte for byte.

Filters of `.git/config` and `.git/info/attributes` stand in no commit, and change what is checked
out: the code that runs would not be the code that is named.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from wildloop.flows.git.process import run_git

MOST_FILES = 5_000
"""Of a tree with more it is not looked at: every file is read for it."""
# What git-lfs and git-crypt have in place of the contents.
_STANDS_FOR = (b"version https://git-lfs", b"\x00GITCRYPT\x00")
_HEAD = 64


async def filtered_files(folder: Path, files: Mapping[str, str]) -> list[str]:
    """The files of a fresh worktree that are other than their blobs; ends of lines do not count.

    Args:
        folder: the top of the worktree.
        files: path to blob.

    Raises:
        GitError: git refuses.
    """
    there = {
        name: blob
        for name, blob in files.items()
        if (folder / name).is_file() and not (folder / name).is_symlink()
    }
    if not there or len(there) > MOST_FILES:
        return []
    names = "".join(f"{name}\n" for name in there if "\n" not in name)
    hashed = await run_git(
        folder, "hash-object", "--no-filters", "--stdin-paths", stdin=os.fsencode(names)
    )
    blobs = hashed.decode().split()
    found = zip((name for name in there if "\n" not in name), blobs, strict=True)
    other = [name for name, blob in found if blob != there[name]]
    return [name for name in other if await _is_other(folder, name, there[name])]


async def _is_other(folder: Path, name: str, blob: str) -> bool:
    held = await run_git(folder, "cat-file", "blob", blob)
    if held[:_HEAD].startswith(_STANDS_FOR):
        return False
    return (folder / name).read_bytes().replace(b"\r\n", b"\n") != held.replace(b"\r\n", b"\n")
