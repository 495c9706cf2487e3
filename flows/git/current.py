"""What lies in a project's folder now, against a commit: uncommitted work and new files too."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from wildloop.flows.git.history import DIFF_LIMIT, OWN_FILES
from wildloop.flows.git.process import GitError, git_line, run_git
from wildloop.flows.git.snapshot import working_tree
from wildloop.flows.models.history import CurrentDifference, FileChange

_CHANGES: dict[str, Literal["added", "modified", "deleted"]] = {
    "A": "added",
    "M": "modified",
    "D": "deleted",
}


async def current_difference(
    workdir: Path, since: str | None, protected: Sequence[str], only: str | None = None
) -> CurrentDifference:
    """What has changed in the project since a commit; the reason where it cannot be told.

    Nothing is changed for it: neither branch nor index.

    Args:
        workdir: the project.
        since: the commit; None: HEAD.
        protected: patterns of files that are left out.
        only: one file, from the top of the repository.
    """
    scope = [f":(top,literal){only}" if only is not None else ":(top)", OWN_FILES]
    scope += [f":(exclude,glob){pattern}" for pattern in protected]
    try:
        base = await git_line(workdir, "rev-parse", "--verify", f"{since or 'HEAD'}^{{commit}}")
        span = ("diff", "--no-ext-diff", "--no-textconv", "--no-renames")
        spec = (base, await working_tree(workdir), "--", *scope)
        stat = await git_line(workdir, *span, "--stat=100", *spec)
        states = await run_git(workdir, *span, "--name-status", "-z", *spec)
        counts = await run_git(workdir, *span, "--numstat", "-z", *spec)
        diff = (await run_git(workdir, *span, *spec)).decode("utf-8", "replace")
    except GitError as error:
        return CurrentDifference(note=f"It cannot be told: {error}")
    return CurrentDifference(
        since=base,
        stat=stat,
        diff=diff[:DIFF_LIMIT],
        is_cut=len(diff) > DIFF_LIMIT,
        note="" if diff else "Nothing has changed.",
        files=_files(states, counts),
    )


def _files(states: bytes, counts: bytes) -> list[FileChange]:
    words = states.decode("utf-8", "replace").split("\0")
    kinds = dict(zip(words[1::2], words[::2], strict=False))
    found = []
    for line in counts.decode("utf-8", "replace").split("\0"):
        if not line:
            continue
        added, removed, path = line.split("\t", 2)
        found.append(
            FileChange(
                path=path,
                change=_CHANGES.get(kinds.get(path, ""), "other"),
                added=int(added) if added.isdigit() else None,
                removed=int(removed) if removed.isdigit() else None,
            )
        )
    return found
