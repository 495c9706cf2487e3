"""Where a path's repository lies, and what is checked out there: read from the files that say so.

A session asks for this some forty times an iteration, and a process of git costs more than the
answer. Only the plain case is read: a `.git` folder of the user's own, without settings that point
elsewhere, and a ref that has a file. Whatever else there is (worktrees, submodules, packed refs,
other owners, a bare repository), git itself is asked; nothing is kept between two questions.
Discovery: git(1), rev-parse(1), gitrepository-layout(5).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from wildloop.flows.git.process import GitError, git_answer, git_line

# Settings by which the work tree, or who reads it, is another than the folder tells.
_ELSEWHERE = re.compile(rb"worktree|include|bare\s*=\s*(?:true|yes|on|1)|refstorage", re.IGNORECASE)
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"ref: (refs/heads/[^\s~^:?*\[\\]+)")
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_PARTS = ("HEAD", "objects", "refs")


@dataclass(frozen=True)
class Place:
    """A folder of a repository: the top of its work tree, and its `.git`."""

    folder: Path
    root: Path
    git_dir: Path

    @property
    def prefix(self) -> str:
        """The folder as seen from the top, with a slash at its end; empty at the top."""
        inside = os.path.relpath(self.folder, self.root)
        return "" if inside == "." else f"{inside}/"


def plain_place(path: Path) -> Place | None:
    """The repository of a path, where its files alone tell it; None: ask git."""
    try:
        folder = path.resolve(strict=True)
        if not folder.is_dir() or ".git" in folder.parts:
            return None
        device = folder.stat().st_dev
        for root in (folder, *folder.parents):
            # git stops at the end of a file system, and takes a bare repository for one.
            if root.stat().st_dev != device or _is_git_dir(root):
                return None
            if os.path.lexists(root / ".git"):
                return Place(folder, root, root / ".git") if _is_plain(root) else None
    except OSError:
        return None
    return None


def _is_plain(root: Path) -> bool:
    git_dir = root / ".git"
    if git_dir.is_symlink() or not git_dir.is_dir() or not _is_git_dir(git_dir):
        return False
    if {root.stat().st_uid, git_dir.stat().st_uid} != {os.geteuid()}:
        return False
    return not _ELSEWHERE.search(_settings(git_dir))


def _settings(git_dir: Path) -> bytes:
    config = git_dir / "config"
    return config.read_bytes() if config.exists() else b""


def _is_git_dir(folder: Path) -> bool:
    return all((folder / name).exists() for name in _PARTS)


async def top_of(path: Path) -> Path:
    """The top of the work tree that `path` lies in.

    Raises:
        GitError: it lies in none.
    """
    if place := plain_place(path):
        return place.root
    return Path(await git_line(path, "rev-parse", "--show-toplevel"))


async def prefix_of(path: Path) -> str:
    """`path` as seen from the top of its work tree, with a slash at its end; empty at the top.

    Raises:
        GitError: it lies in none.
    """
    if place := plain_place(path):
        return place.prefix
    return await git_line(path, "rev-parse", "--show-prefix")


async def git_dir_of(path: Path) -> Path:
    """The folder of git's own files: of a worktree its own, not the one that it shares.

    Raises:
        GitError: `path` is in no repository.
    """
    if place := plain_place(path):
        return place.git_dir
    return Path(await git_line(path, "rev-parse", "--absolute-git-dir"))


async def index_of(root: Path) -> Path:
    """The file of the index, which need not be there.

    Raises:
        GitError: `root` is in no repository.
    """
    if place := plain_place(root):
        return place.git_dir / "index"
    return root / await git_line(root, "rev-parse", "--git-path", "index")


async def empty_tree(path: Path) -> str:
    """The tree of no files, by the hash that the repository has."""
    place = plain_place(path)
    if place and b"objectformat" not in _settings(place.git_dir).lower():
        return _EMPTY_TREE
    return await git_line(path, "hash-object", "-t", "tree", "--stdin")


async def is_repository(path: Path) -> bool:
    """Whether `path` lies in a git work tree."""
    if plain_place(path):
        return True
    try:
        return await git_line(path, "rev-parse", "--is-inside-work-tree") == "true"
    except GitError as error:
        if error.returncode is None:
            raise
        return False


async def head_commit(path: Path) -> str | None:
    """The commit checked out; None before the first one.

    Raises:
        GitError: `path` is in no repository.
    """
    if (place := plain_place(path)) and (commit := _commit_in_file(place.git_dir)):
        return commit
    return await git_answer(path, "rev-parse", "--verify", "-q", "HEAD")


async def current_branch(path: Path) -> str | None:
    """The branch checked out; None where HEAD is detached."""
    place = plain_place(path)
    ref = _ref_of_head(place.git_dir) if place else None
    # A branch whose file names another one is that other one.
    if place and ref and _commit_in_file(place.git_dir):
        return ref.removeprefix("refs/heads/")
    return await git_answer(path, "symbolic-ref", "--short", "-q", "HEAD")


def _ref_of_head(git_dir: Path) -> str | None:
    """The branch that HEAD names, with `refs/heads/`; None: detached, or not told plainly."""
    named = _REF.fullmatch(_text(git_dir / "HEAD"))
    # `.invalid` is what HEAD says where refs are kept in tables.
    return named[1] if named and not named[1].endswith(".invalid") else None


def _commit_in_file(git_dir: Path) -> str | None:
    """The commit that HEAD, or the file of the branch that it names, holds; None: ask git."""
    ref = _ref_of_head(git_dir)
    held = _text(git_dir / (ref or "HEAD"))
    return held if _COMMIT.fullmatch(held) else None


def _text(file: Path) -> str:
    """The contents of a ref's file; empty where it is none, or a link."""
    try:
        return "" if file.is_symlink() else file.read_text("utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return ""
