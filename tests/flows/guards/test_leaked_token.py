"""The token in files and commits of a project."""

from pathlib import Path

import pytest

from tests.support.project import git
from wildloop.flows.git.process import GitError
from wildloop.flows.guards.leaks import (
    changed_in_worktree,
    commits_with_token,
    files_below,
    mask_token,
)

TOKEN = "tok-3f9a-7c2b-11"


def test_token_is_masked_in_place_and_named(tmp_path: Path) -> None:
    (tmp_path / "a b.txt").write_text(f"x {TOKEN} y")
    (tmp_path / "clean").write_text("nothing")
    (tmp_path / "link").symlink_to(tmp_path / "a b.txt")
    names = ["a b.txt", "clean", "gone", "link"]
    assert mask_token(tmp_path, names, TOKEN) == ["a b.txt"]
    assert (tmp_path / "a b.txt").read_text() == f"x {'*' * len(TOKEN)} y"


@pytest.mark.parametrize("token", [None, "short"])
def test_what_is_no_secret_is_left_alone(tmp_path: Path, token: str | None) -> None:
    (tmp_path / "a").write_text("short")
    assert mask_token(tmp_path, ["a"], token) == []


async def test_new_and_changed_files_are_searched(project: Path) -> None:
    (project / "ü new.txt").write_text("x")
    (project / "wildloop.toml").write_text("x")
    folder = project / "deep" / "er"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    found = {Path(name).relative_to(project) for name in await changed_in_worktree(project)}
    assert {str(name) for name in found} == {"ü new.txt", "wildloop.toml", "deep/er/file"}
    assert files_below(project / "deep") == ["er/file"]


async def test_commits_with_the_token_are_found(project: Path) -> None:
    start = git(project, "rev-parse", "HEAD").strip()
    assert await commits_with_token(project, start, TOKEN) == []
    for text in ("clean", TOKEN, "clean again"):
        (project / "file").write_text(text)
        git(project, "add", "-A")
        git(project, "commit", "-qm", "work")
    found = await commits_with_token(project, start, TOKEN)
    assert found == [git(project, "rev-parse", "HEAD~1").strip()]
    with pytest.raises(GitError):
        await commits_with_token(project, "0" * 40, TOKEN)
