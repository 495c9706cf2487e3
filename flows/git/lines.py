"""How many lines two trees differ by."""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from wildloop.flows.git.process import git_line, run_git

_STAT = re.compile(r"(?P<added>\d+)\t(?P<removed>\d+)\t.*")


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
    root = Path(await git_line(path, "rev-parse", "--show-toplevel"))
    said = await run_git(root, "diff", "--no-renames", "--numstat", before, after, "--", *names)
    found = [one for one in map(_STAT.match, said.decode("utf-8", "replace").splitlines()) if one]
    return Lines(
        added=sum(int(one["added"]) for one in found),
        removed=sum(int(one["removed"]) for one in found),
    )
