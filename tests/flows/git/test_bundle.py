"""A commit comes from one clone into another."""

from pathlib import Path

import pytest

from tests.support.project import git
from wildloop.flows.git.bundle import draft_bundle, fetch_commit, has_commit, tips, write_bundle
from wildloop.flows.git.process import GitError
from wildloop.flows.git.snapshot import take_snapshot


async def test_snapshot_of_an_edited_tree_comes_into_an_old_clone(
    project: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    git(project.parent, "clone", "-q", str(project), str(clone))
    (project / "new.py").write_text("new")
    commit = (await take_snapshot(project)).snapshot
    assert commit is not None and not await has_commit(clone, commit)
    bundle = draft_bundle()
    try:
        # What only the clone has is passed over.
        git(clone, "-c", "user.name=o", "-c", "user.email=o", "commit", "--allow-empty", "-qm", "o")
        await write_bundle(project, commit, await tips(clone), bundle)
        await fetch_commit(clone, str(bundle), commit)
    finally:
        bundle.unlink()
    assert await has_commit(clone, commit)
    assert git(clone, "show", f"{commit}:new.py") == "new"
    # From the repository itself, as by a remote.
    other = tmp_path / "other"
    git(project.parent, "clone", "-q", str(project), str(other))
    await fetch_commit(other, str(project), commit)
    assert await has_commit(other, commit)


async def test_commit_that_is_not_there_is_said(project: Path, tmp_path: Path) -> None:
    with pytest.raises(GitError):
        await fetch_commit(project, str(tmp_path), "0" * 40)
    with pytest.raises(GitError):
        await has_commit(tmp_path, "0" * 40)
