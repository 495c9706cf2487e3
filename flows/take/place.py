"""Where a new branch is to be made, and everything that stands against it, said before the work."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wildloop.flows.errors import Conflict, InvalidRequest
from wildloop.flows.git.place import top_of
from wildloop.flows.git.process import GitError, git_answer, git_line, run_git
from wildloop.flows.git.repository import is_repository
from wildloop.flows.git.restore import resolve
from wildloop.flows.models.take import NightView


@dataclass(frozen=True)
class Wanted:
    """How a night is to be taken home.

    Args:
        onto: branch, tag or commit (default: the user's branch that the session began on).
        branch: name of the new branch (default: `take/<first 8 of the session>`).
        checks: commands that each commit is to pass, beside `[checks] commands`.
        with_checks: run checks at all.
        skip: leave out an idea that does not go, and go on; else stop there.
        hooks: run the repository's hooks at each commit, also where `[git] hooks` does not say so.
        now: also of a session that goes on.
    """

    onto: str | None = None
    branch: str | None = None
    checks: Sequence[str] = ()
    with_checks: bool = True
    skip: bool = False
    hooks: bool = False
    now: bool = False


@dataclass(frozen=True)
class Place:
    """Where the new branch is to be: checked before anything is done."""

    root: Path
    workdir: Path
    onto: str
    commit: str
    branch: str


async def place_of(night: NightView, wanted: Wanted) -> Place:
    """Where the branch is to be made; everything that stands against it is said here.

    Raises:
        Conflict, InvalidRequest: as `take_home`.
    """
    if night.is_active and not wanted.now:
        raise Conflict(
            f"session '{night.session_id}' goes on ({night.status.value}): wait for its end, or "
            "take what it has kept until now with --now"
        )
    root, workdir = await _project(night)
    onto, commit = await _target(root, night, wanted.onto)
    branch = wanted.branch or f"take/{night.session_id[:8]}"
    await _check_name(root, branch)
    await _check_user(root)
    return Place(root, workdir, onto, commit, branch)


async def _project(night: NightView) -> tuple[Path, Path]:
    workdir = Path(night.workdir)
    mend = "run `wildloop take` on the machine where the project is"
    if not workdir.is_dir():
        raise InvalidRequest(f"the session's project '{workdir}' is not on this machine: {mend}")
    if not await is_repository(workdir):
        raise InvalidRequest(
            f"'{workdir}' is in no git repository: nothing can be taken home of it"
        )
    root = await top_of(workdir)
    known = [one.commit for one in night.ideas if one.commit]
    if known and not any([await resolve(root, one) for one in known]):
        raise InvalidRequest(
            f"'{workdir}' here has none of the session's commits ({known[0][:12]}...): {mend}"
        )
    return root, workdir


async def _target(root: Path, night: NightView, onto: str | None) -> tuple[str, str]:
    """The target's name and commit."""
    if onto is None and night.base_branch is None:
        where = (
            "on a detached HEAD"
            if night.is_own_branch and night.base_commit
            else f"on '{night.branch}' itself"
        )
        raise InvalidRequest(
            f"the session has begun {where}, so there is no branch to go back to: name one by "
            "--onto, as --onto main"
        )
    name = onto or night.base_branch or ""
    ref = name if onto else f"refs/heads/{name}"
    try:
        arguments = ("--verify", "-q", "--end-of-options", ref + "^{commit}")
        commit = await git_answer(root, "rev-parse", *arguments)
    except GitError:
        commit = None
    if commit is None:
        raise InvalidRequest(
            f"there is no branch or commit '{name}' in '{root}': name another by --onto "
            "(`git branch --all` lists them)"
        )
    return name, commit


async def _check_name(root: Path, branch: str) -> None:
    """See that a branch of this name can be made.

    Raises:
        InvalidRequest: git takes no such name.
        Conflict: it is there, or one that is in its way.
    """
    try:
        await run_git(root, "check-ref-format", "--branch", branch)
    except GitError as error:
        raise InvalidRequest(f"'{branch}' is no name of a branch that git takes") from error
    parts = branch.split("/")
    above = ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]
    listed = await git_line(
        root, "for-each-ref", "--format=%(refname:strip=2)", f"refs/heads/{branch}/"
    )
    known = [one for one in above if await resolve(root, f"refs/heads/{one}")]
    if taken := [*known, *listed.splitlines()]:
        raise Conflict(
            f"there is a branch '{taken[0]}' already: give another name by --branch, or remove it "
            f"(`git branch -D {taken[0]}`)"
        )


async def _check_user(root: Path) -> None:
    """See that git knows in whose name to commit.

    Raises:
        InvalidRequest: it does not.
    """
    for who in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
        try:
            await run_git(root, "-c", "user.useConfigOnly=true", "var", who)
        except GitError as error:
            raise InvalidRequest(
                "the commits are to be yours, and git does not know your name and address: `git "
                'config --global user.name "Your Name"`, and user.email likewise'
            ) from error
