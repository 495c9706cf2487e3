"""The code of a run in a git worktree: a snapshot of its creation, or a commit with a patch."""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from wildloop.flows.errors import WildloopError
from wildloop.flows.files.paths import make_ignored
from wildloop.flows.git import repository
from wildloop.flows.git.place import top_of
from wildloop.flows.git.process import (
    NO_HOOKS,
    GitError,
    git_names,
    run_git,
    run_git_locking,
)
from wildloop.flows.models.run import Checkout
from wildloop.flows.project import FILE, LINKED, load_project

LOCK_PAUSE_S = 0.05
ALWAYS_LINKED = (".wild/sessions", ".wild/experiments")
CACHES = frozenset({"__pycache__"})


class CheckoutFailed(WildloopError):
    """The commit or patch cannot be put in place; the text says what to do."""


async def prepare(
    workdir: Path, checkout: Checkout, run_id: str, environment: Path | None = None
) -> Path:
    """Check `checkout` out for a run, once; return the folder that stands for `workdir`.

    Each run has a worktree of its own, so that none reads what another has written; git's objects
    are shared. It is thinned out once the run has ended: see `release`.

    Args:
        workdir: the project.
        checkout: the code.
        run_id: the run.
        environment: a worktree of whose folders outside git those that the project names are
            linked, before those of `workdir`.

    Raises:
        CheckoutFailed: the commit is gone, or the patch does not apply.
    """
    try:
        root = await top_of(workdir)
        inner = workdir.resolve().relative_to(root.resolve())
        make_ignored(_home(workdir))
        async with _locked(workdir):
            folder = await _folder(root, workdir, checkout, run_id, environment)
            users = _beside(folder, "users")
            users.mkdir(exist_ok=True)
            (users / run_id).touch()
    except (GitError, ValueError) as error:
        raise CheckoutFailed(
            f"commit {checkout.git_commit[:12]} cannot be checked out with its changes: {error}"
        ) from error
    inside = folder / inner
    if not await asyncio.to_thread(inside.is_dir):
        raise CheckoutFailed(f"'{workdir}' does not exist in commit {checkout.git_commit[:12]}")
    return inside


async def release(workdir: Path, run_id: str) -> None:
    """A run has ended: thin out its worktree.

    What git has put there is removed; what runs have written stays where it is.

    Raises:
        GitError: git refuses.
    """
    if not _home(workdir).is_dir():
        return
    async with _locked(workdir):
        for mark in _home(workdir).glob(f"*.users/{run_id}"):
            mark.unlink(missing_ok=True)
            await _thin_unused(workdir, mark.parent)


async def clean(workdir: Path, ended: Collection[str]) -> None:
    """Thin out the worktrees of ended runs that a crash has left behind.

    Raises:
        GitError: git refuses.
    """
    if not _home(workdir).is_dir():
        return
    async with _locked(workdir):
        for users in _home(workdir).glob("*.users"):
            for mark in users.iterdir():
                if mark.name in ended:
                    mark.unlink(missing_ok=True)
            await _thin_unused(workdir, users)


def worktree_of(workdir: Path, run_id: str) -> Path | None:
    """The worktree that a run uses; None if it runs in its project's folder, or has ended."""
    mark = next(_home(workdir).glob(f"*.users/{run_id}"), None)
    return None if mark is None else mark.parent.with_suffix("")


def _home(workdir: Path) -> Path:
    return workdir / ".wild" / "worktrees"


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(f"{folder.name}.{suffix}")


@asynccontextmanager
async def _locked(workdir: Path) -> AsyncIterator[None]:
    """Alone with the worktrees of a project: `git worktree add` bears no second one beside it."""
    async with alone(_home(workdir) / ".lock"):
        yield


@asynccontextmanager
async def alone(lock: Path) -> AsyncIterator[None]:
    """While entered, others on this host who ask for the same lock file wait."""
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(LOCK_PAUSE_S)
        yield


async def _folder(
    root: Path, workdir: Path, checkout: Checkout, run_id: str, environment: Path | None
) -> Path:
    """The worktree, made if need be; beside what runs have left of an earlier one."""
    number = 1
    while True:
        folder = _home(workdir) / (run_id if number == 1 else f"{run_id}-{number}")
        if (folder / ".git").exists() and _beside(folder, "done").exists():
            return folder
        if (folder / ".git").exists():
            # Interrupted in the making.
            await run_git_locking(root, "worktree", "remove", "--force", "--force", str(folder))
        if not folder.exists() or not any(folder.iterdir()):
            break
        number += 1
    await run_git(root, "worktree", "prune", "--expire", "now")
    commit = checkout.snapshot or checkout.git_commit
    make = (*NO_HOOKS, "worktree", "add", "--detach", "-f")
    await run_git_locking(root, *make, str(folder), commit)
    if checkout.snapshot is None and checkout.patch is not None:
        await run_git(folder, "apply", "--binary", "--whitespace=nowarn", checkout.patch)
    links: list[Path] = []
    if environment is not None:
        inside = environment / workdir.resolve().relative_to(root.resolve())
        links = await asyncio.to_thread(link_all, environment, inside, folder)
    if checkout.snapshot is not None:
        links += await asyncio.to_thread(link_all, root, workdir, folder, ALWAYS_LINKED)
    listed = b"\0".join(os.fsencode(link) for link in links)
    await asyncio.to_thread(_beside(folder, "done").write_bytes, listed)
    return folder


def link_all(root: Path, workdir: Path, folder: Path, also: Sequence[str] = ()) -> list[Path]:
    """Link what git does not hold and the project names in [isolation] link; the links.

    Args:
        root: the top of the repository.
        workdir: the project, in the repository.
        folder: the top of the worktree that gets the links.
        also: more names.
    """
    top = root.resolve()
    here = workdir.resolve()
    project = next(
        (one for one in (here, *here.parents) if one.is_relative_to(top) and (one / FILE).exists()),
        here,
    )
    config = load_project(project)
    names = config.isolation.link if config is not None else LINKED
    inner = folder / project.relative_to(top)
    return [link for name in (*names, *also) for link in _link(project / name, inner / name)]


def _link(source: Path, target: Path) -> list[Path]:
    """Link a file or folder; of a folder that git holds in part, what is missing."""
    if not source.exists():
        return []
    if not target.exists() and not target.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source, target_is_directory=source.is_dir())
        return [target]
    if source.is_dir() and target.is_dir() and not target.is_symlink():
        return [link for child in source.iterdir() for link in _link(child, target / child.name)]
    return []


async def _thin_unused(workdir: Path, users: Path) -> None:
    if any(users.iterdir()):
        return
    folder = users.with_suffix("")
    if (folder / ".git").exists():
        tracked = set(await git_names(folder, "ls-files", "-z"))
        changed = set(await git_names(folder, "diff", "--name-only", "--no-renames", "-z"))
        await asyncio.to_thread(_thin, folder, tracked - changed, await _links(folder))
    _beside(folder, "done").unlink(missing_ok=True)
    users.rmdir()
    if await repository.is_repository(workdir):
        await run_git(workdir, "worktree", "prune", "--expire", "now")


async def _links(folder: Path) -> list[Path]:
    """The links that were made in a worktree."""
    try:
        listed = await asyncio.to_thread(_beside(folder, "done").read_bytes)
    except FileNotFoundError:
        return []
    return [Path(os.fsdecode(name)) for name in listed.split(b"\0") if name]


def _thin(folder: Path, names: Collection[str], links: Collection[Path]) -> None:
    """Remove files as git has them, our links, caches, and folders that are empty then."""
    for path in (
        *(folder / name for name in names),
        *(link for link in links if link.is_symlink()),
    ):
        path.unlink(missing_ok=True)
    for place, folders, _ in os.walk(folder, topdown=False):
        here = Path(place)
        for name in CACHES.intersection(folders):
            shutil.rmtree(here / name)
        if here != folder and not any(here.iterdir()):
            here.rmdir()
    # Last: without it git takes the folder for gone, and a crash before leaves work to do again.
    (folder / ".git").unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
