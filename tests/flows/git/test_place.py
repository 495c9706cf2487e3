"""What files tell of a repository is what git tells, in each of its shapes."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from wildloop.flows.git.place import (
    current_branch,
    empty_tree,
    git_dir_of,
    head_commit,
    index_of,
    is_repository,
    plain_place,
    prefix_of,
    top_of,
)
from wildloop.flows.git.process import GitError


def git(folder: Path, *arguments: str) -> str | None:
    """What git itself says; None where it refuses."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "protocol.file.allow=always")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True
    )
    return done.stdout.removesuffix("\n") if done.returncode == 0 else None


def made(folder: Path, *options: str) -> Path:
    """A repository with a file in a folder, committed."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main", *options)
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "sub" / "deep" / "a.txt").write_text("a")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "begin")
    return folder


def detached(base: Path) -> Path:
    folder = made(base / "r")
    git(folder, "checkout", "-q", "--detach")
    return folder


def packed(base: Path) -> Path:
    folder = made(base / "r")
    git(folder, "pack-refs", "--all")
    return folder


def unborn(base: Path) -> Path:
    (base / "r").mkdir()
    git(base / "r", "init", "-q", "-b", "main")
    return base / "r"


def slashed(base: Path) -> Path:
    folder = made(base / "r")
    git(folder, "switch", "-q", "-c", "wild/ünder/x")
    return folder


def symbolic(base: Path) -> Path:
    """A branch that is another name of one."""
    folder = made(base / "r")
    git(folder, "symbolic-ref", "refs/heads/alias", "refs/heads/main")
    git(folder, "symbolic-ref", "HEAD", "refs/heads/alias")
    return folder


def worktree(base: Path) -> Path:
    git(made(base / "r"), "worktree", "add", "-q", str(base / "w"), "-b", "other")
    return base / "w"


def submodule(base: Path) -> Path:
    outer = made(base / "outer")
    git(outer, "submodule", "add", "-q", str(made(base / "inner")), "lib")
    return outer / "lib"


def nested(base: Path) -> Path:
    return made(made(base / "r") / "sub" / "own")


def linked(base: Path) -> Path:
    (base / "link").symlink_to(made(base / "r") / "sub")
    return base / "link"


def elsewhere(base: Path) -> Path:
    folder = made(base / "r")
    git(folder, "config", "core.worktree", str(folder / "sub"))
    return folder / "sub"


def included(base: Path) -> Path:
    folder = made(base / "r")
    (folder / ".git" / "more").write_text(f"[core]\n\tworktree = {folder / 'sub'}\n")
    git(folder, "config", "include.path", "more")
    return folder / "sub"


def bare(base: Path) -> Path:
    made(base / "r")
    git(base, "clone", "-q", "--bare", str(base / "r"), str(base / "b"))
    return base / "b"


def broken(base: Path) -> Path:
    """A `.git` that is none, below a repository: git goes on upwards."""
    folder = made(base / "r") / "sub"
    (folder / ".git").mkdir()
    return folder


SHAPES: list[Callable[[Path], Path]] = [
    lambda base: made(base / "plain"),
    lambda base: made(base / "plain") / "sub" / "deep",
    lambda base: made(base / "long", "--object-format=sha256"),
    lambda base: made(base / "tables", "--ref-format=reftable"),
    lambda base: made(base / "moved", "--separate-git-dir", str(base / "git")),
    lambda base: made(base / "inside") / ".git",
    lambda base: base,
    *(detached, packed, unborn, slashed, symbolic, worktree, submodule, nested, linked),
    *(elsewhere, included, bare, broken),
]
LINES = {
    "top": (top_of, ("rev-parse", "--show-toplevel")),
    "prefix": (prefix_of, ("rev-parse", "--show-prefix")),
    "git_dir": (git_dir_of, ("rev-parse", "--absolute-git-dir")),
    "head": (head_commit, ("rev-parse", "--verify", "-q", "HEAD")),
    "branch": (current_branch, ("symbolic-ref", "--short", "-q", "HEAD")),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_files_tell_what_git_tells(shape: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = shape(tmp_path)
    assert folder.is_dir()
    for name, (asked, arguments) in LINES.items():
        try:
            told = await asked(folder)
        except GitError:
            told = None
        assert (None if told is None else str(told)) == git(folder, *arguments), name
    inside = git(folder, "rev-parse", "--is-inside-work-tree")
    assert await is_repository(folder) == (inside == "true")
    if inside == "true":
        root = await top_of(folder)
        index = git(root, "rev-parse", "--git-path", "index") or ""
        assert (await index_of(root)).resolve() == (root / index).resolve()
        empty = subprocess.run(
            ["git", "-C", str(root), "hash-object", "-t", "tree", "--stdin"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert await empty_tree(root) == empty.stdout.strip()


async def test_a_plain_repository_is_read_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path / "plain") / "sub" / "deep"
    commit = git(folder, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await top_of(folder) == tmp_path / "plain"
    assert await prefix_of(folder) == "sub/deep/"
    assert await head_commit(folder) == commit
    assert await current_branch(folder) == "main"


def test_a_repository_of_another_user_is_left_to_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path / "plain")
    assert plain_place(folder) is not None
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert plain_place(folder) is None
