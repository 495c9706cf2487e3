"""Each iteration's change stays reachable: a git tag a call, and the difference it made."""

from collections.abc import Callable, Sequence
from pathlib import Path

from wildloop.flows.git.place import empty_tree
from wildloop.flows.git.process import (
    GitError,
    git_answer,
    git_line,
    run_git,
    run_git_locking,
)
from wildloop.flows.models.history import Difference
from wildloop.flows.models.session_record import IterationRecord

DIFF_LIMIT = 200_000
# The session's own files: prompts, replies, the log.
OWN_FILES = ":(exclude,top).wild/sessions"


def tag_name(session_id: str, record: IterationRecord) -> str:
    """`wild/<first 8 of the session>/iter-03`, `.../plan`, `.../reflection-03`."""
    label = {"planning": "plan"}.get(record.kind, record.label.replace("iteration", "iter"))
    return f"wild/{session_id[:8]}/{label}"


async def tag_commit(workdir: Path, name: str, commit: str) -> None:
    """Point a tag at a commit, so that it outlives branches; one of this name is moved.

    Raises:
        GitError: git refuses it.
    """
    await run_git_locking(workdir, "update-ref", f"refs/tags/{name}", commit)


async def missing_tags_made(workdir: Path, calls: Sequence[IterationRecord]) -> list[str]:
    """Make the tags again that somebody has deleted; their names.

    Raises:
        GitError: git refuses it.
    """
    wanted = {call.tag: call.commit for call in calls if call.tag and call.commit}
    if not wanted:
        return []
    listed = await git_line(workdir, "for-each-ref", "--format=%(refname:strip=2)", "refs/tags")
    missing = [tag for tag in wanted if tag not in set(listed.splitlines())]
    told = "".join(f"create refs/tags/{tag} {wanted[tag]}\n" for tag in missing)
    if told:
        await run_git_locking(workdir, "update-ref", "--stdin", stdin=told.encode())
    return missing


async def difference(workdir: Path, calls: Sequence[IterationRecord]) -> Difference:
    """What the calls of one iteration changed together; the reason where it cannot be told."""
    commits = [it.commit for it in calls if it.commit]
    if not commits:
        return Difference(note="It has no commit: " + (_faults(calls) or "nothing was recorded."))
    try:
        base = await _parent(workdir, commits[0])
        return await difference_between(
            workdir, base, commits[-1], "It changed no file of the project."
        )
    except GitError as error:
        return Difference(note=f"The commit cannot be shown: {error}")


async def difference_between(
    workdir: Path,
    before: str,
    after: str,
    nothing: str,
    cleaned: Callable[[str], str] = lambda text: text,
) -> Difference:
    """What two commits or trees differ by, a session's own files left out.

    Args:
        workdir: a folder of the repository.
        before: a commit or tree.
        after: another.
        nothing: the note where they are the same.
        cleaned: what is done to the text before it is cut.

    Raises:
        GitError: one of them is not there.
    """
    span = (before, after)
    stat = await git_line(workdir, "diff", "--stat=100", *span, "--", OWN_FILES)
    out = await run_git(workdir, "diff", *span, "--", OWN_FILES)
    diff = cleaned(out.decode("utf-8", "replace"))
    return Difference(
        command=f"git diff {before[:12]} {after[:12]} -- '{OWN_FILES}'",
        stat=stat,
        diff=diff[:DIFF_LIMIT],
        is_cut=len(diff) > DIFF_LIMIT,
        note="" if diff else nothing,
    )


async def _parent(workdir: Path, commit: str) -> str:
    """The commit before, or the empty tree before the first."""
    found = await git_answer(workdir, "rev-parse", "--verify", "-q", f"{commit}^")
    return found or await empty_tree(workdir)


def _faults(calls: Sequence[IterationRecord]) -> str:
    return "; ".join(text for it in calls for text in it.troubles if text.startswith("git "))
