"""What a commit changes, file by file, so that parts of it can be put together anew."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from wildloop.flows.git.process import git_names, run_git

GONE = "000000"


class Entry(NamedTuple):
    """A file as it was and as it is: `mode blob`, of mode 000000 where there is none."""

    path: str
    before: str
    after: str


async def entries(root: Path, one: str, other: str) -> list[Entry]:
    """The files in which two commits or trees differ; binary files, modes, links, submodules too.

    A renamed file is one that is gone and one that is new.

    Raises:
        GitError: one of them is not there.
    """
    options = ("-r", "-z", "--raw", "--no-renames", "--full-index")
    told = await git_names(root, "diff-tree", *options, one, other, "--")
    found = []
    for head, path in zip(told[::2], told[1::2], strict=True):
        old_mode, mode, old_blob, blob, _ = head.removeprefix(":").split(" ")
        found.append(Entry(path, f"{old_mode} {old_blob}", f"{mode} {blob}"))
    return found


async def tree_with(root: Path, tree: str, changes: Sequence[Entry]) -> str:
    """The tree object of a commit or tree with these files as they are after the changes."""
    listed = b"".join(
        one.after.encode() + b"\t" + os.fsencode(one.path) + b"\0"
        # A folder in whose place a file comes has to be gone first.
        for one in sorted(changes, key=lambda one: not one.after.startswith(GONE))
    )
    with TemporaryDirectory(prefix="wildloop-") as temporary:
        env = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        await run_git(root, "read-tree", tree, env=env)
        if listed:
            await run_git(root, "update-index", "-z", "--index-info", stdin=listed, env=env)
        return (await run_git(root, "write-tree", env=env)).decode().strip()
