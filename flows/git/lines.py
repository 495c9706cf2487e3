"""How many lines two trees differ by."""

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import BaseModel

from wildloop.flows.git.place import empty_tree, top_of
from wildloop.flows.git.process import git_names, run_git

MOST_FILES = 5_000
"""Of a tree with more the lines are not counted: every file is read for it."""
_STAT = re.compile(r"(?P<added>\d+)\t(?P<removed>\d+)\t(?P<path>.*)", re.DOTALL)


class Lines(BaseModel):
    """Lines of files that are there after and not before, and the other way round."""

    added: int = 0
    removed: int = 0


async def lines_between(path: Path, before: str, after: str, names: Sequence[str]) -> Lines:
    """The lines by which these files differ; those of binary files are not counted.

    Args:
        path: a folder of the repository.
        before: a commit or tree.
        after: another.
        names: of the files, from the top of the repository.

    Raises:
        GitError: one of the trees is not there.
    """
    if not names:
        return Lines()
    root = await top_of(path)
    said = await run_git(root, "diff", "--no-renames", "--numstat", before, after, "--", *names)
    found = [one for one in map(_STAT.match, said.decode("utf-8", "replace").splitlines()) if one]
    return Lines(
        added=sum(int(one["added"]) for one in found),
        removed=sum(int(one["removed"]) for one in found),
    )


async def lines_of_tree(path: Path, tree: str, names: Collection[str]) -> int | None:
    """How many lines these files of a tree have, binary ones left out; None for too many files.

    Args:
        path: a folder of the repository.
        tree: a commit or tree.
        names: of the files, from the top of the repository.

    Raises:
        GitError: the tree is not there.
    """
    if len(names) > MOST_FILES:
        return None
    root = await top_of(path)
    options = ("-r", "-z", "--no-renames", "--no-ext-diff", "--no-textconv", "--numstat")
    said = await git_names(root, "diff-tree", *options, await empty_tree(root), f"{tree}^{{tree}}")
    wanted = set(names)
    found = [one for one in map(_STAT.fullmatch, said) if one and one["path"] in wanted]
    return sum(int(one["added"]) for one in found)
