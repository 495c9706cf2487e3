"""Snapshots of the code, and worktrees that come and go."""

import asyncio
from pathlib import Path

import pytest

from tests.support.project import git, make_project
from tests.support.repository import write
from wildloop.flows.git.process import GitError
from wildloop.flows.git.snapshot import NoCommit, snapshot_patch, take_snapshot
from wildloop.flows.models.run import Checkout
from wildloop.flows.run import checkout

TOML = '[isolation]\nlink = ["data", "weights.bin", "missing"]\n'


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = make_project(tmp_path / "my projekt ü", TOML)
    write(folder / "train.py", "one\n")
    write(folder / ".gitignore", "data/*\n!data/README\nweights.bin\n*.ckpt\n.wild/worktrees\n")
    write(folder / "data/README", "tracked\n")
    write(folder / "data/train.npy", "numbers\n")
    write(folder / "weights.bin", "weights\n")
    write(folder / ".wild/sessions/s/tasks.md", "plan\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "code")
    return folder


async def test_a_snapshot_holds_what_is_there_and_changes_nothing(repo: Path) -> None:
    write(repo / "train.py", "two\n")
    write(repo / "new file.py", "new\n")
    write(repo / ".env", "SECRET=1\n")
    git(repo, "add", "new file.py")
    write(repo / "new file.py", "newer\n")
    before = (git(repo, "status", "--porcelain"), git(repo, "rev-parse", "HEAD"))
    made = await take_snapshot(repo)
    assert (git(repo, "status", "--porcelain"), git(repo, "rev-parse", "HEAD")) == before
    assert made.git_commit == before[1].strip()
    names = git(repo, "ls-tree", "-r", "-z", "--name-only", made.snapshot or "").split("\0")
    assert {"train.py", "new file.py", "data/README"} <= set(names)
    assert not {".env", "weights.bin", ".wild/sessions/s/tasks.md"} & set(names)
    assert git(repo, "show", f"{made.snapshot}:new file.py") == "newer\n"
    patch = await snapshot_patch(repo, made)
    assert "+two" in patch and "+newer" in patch and "tasks.md" not in patch
    # The same tree is the same snapshot, whatever the session has written meanwhile.
    write(repo / ".wild/sessions/s/tasks.md", "plan 2\n")
    assert await take_snapshot(repo) == made


async def test_many_snapshots_at_once(repo: Path) -> None:
    made = await asyncio.gather(*(take_snapshot(repo) for _ in range(8)))
    assert len({one.snapshot for one in made}) == 1
    assert not list((repo / ".git").glob("wildloop-*"))


async def test_nothing_to_snapshot_is_told(repository: Path) -> None:
    with pytest.raises(NoCommit, match="commit once"):
        await take_snapshot(repository)
    with pytest.raises(GitError):
        await take_snapshot(repository.parent)


async def test_each_run_has_a_worktree_of_its_own_and_sees_the_linked_data(repo: Path) -> None:
    made = await take_snapshot(repo)
    write(repo / "train.py", "later\n")
    places = await asyncio.gather(*(checkout.prepare(repo, made, f"run-{n}") for n in range(6)))
    assert len(set(places)) == 6
    # What one writes where another looks for its own is not found there.
    for number, place in enumerate(places):
        write(place / "checkpoints/best.json", str(number))
    assert [(place / "checkpoints/best.json").read_text() for place in places] == list("012345")
    place = places[3]
    assert (place / "train.py").read_text() == "one\n"
    assert (place / "data/train.npy").read_text() == "numbers\n"
    assert not (place / "data").is_symlink() and (place / "data/train.npy").is_symlink()
    assert (place / "weights.bin").read_text() == "weights\n"
    assert (place / ".wild/sessions/s/tasks.md").exists()
    assert git(place, "status", "--porcelain", "--untracked-files=no") == ""
    assert checkout.worktree_of(repo, "run-3") == place
    assert "worktrees" not in git(repo, "status", "--porcelain")


async def test_what_runs_have_written_stays_and_the_code_goes(repo: Path) -> None:
    made = await take_snapshot(repo)
    place = await checkout.prepare(repo, made, "a")
    beside = await checkout.prepare(repo, made, "b")
    write(place / "out/best.ckpt", "weights\n")
    write(place / "train.py", "changed by the run\n")
    write(place / "__pycache__/train.pyc", "cache\n")
    (place / "out/latest").symlink_to("best.ckpt")
    await checkout.release(repo, "a")
    assert (beside / "data/README").exists()
    await checkout.release(repo, "b")
    assert not beside.exists()
    left = {str(path.relative_to(place)) for path in place.rglob("*")}
    assert left == {"out", "out/best.ckpt", "out/latest", "train.py"}
    assert (repo / "data/train.npy").exists() and (repo / "weights.bin").exists()
    assert len(git(repo, "worktree", "list").splitlines()) == 1
    # Put into the queue again, it gets a clean one beside; with nothing left behind all of it goes.
    again = await checkout.prepare(repo, made, "a")
    assert again != place and (again / "train.py").read_text() == "one\n"
    await checkout.release(repo, "a")
    assert not again.exists()


async def test_what_a_crash_has_left_is_made_anew_or_taken_away(repo: Path) -> None:
    made = await take_snapshot(repo)
    place = await checkout.prepare(repo, made, "a")
    # Killed while it was being made: no note that it is done.
    place.with_name(f"{place.name}.done").unlink()
    (place / "train.py").unlink()
    assert await checkout.prepare(repo, made, "a") == place
    assert (place / "train.py").exists()
    await checkout.clean(repo, {"of another session"})
    assert checkout.worktree_of(repo, "a") == place
    await checkout.clean(repo, {"a"})
    assert not place.exists()
    left = {path.name for path in (repo / ".wild/worktrees").iterdir()}
    assert left == {".gitignore", ".lock"}


async def test_a_folder_that_was_removed_by_hand_is_made_again(repo: Path) -> None:
    import shutil

    made = await take_snapshot(repo)
    place = await checkout.prepare(repo, made, "a")
    shutil.rmtree(place)
    assert await checkout.prepare(repo, made, "a") == place
    assert (place / "train.py").exists()


async def test_a_project_below_its_repository(repo: Path) -> None:
    write(repo / "sub/wildloop.toml", '[isolation]\nlink = ["cache"]\n')
    write(repo / "sub/train.py", "sub\n")
    write(repo / "sub/cache/x.ckpt", "x\n")
    made = await take_snapshot(repo / "sub")
    place = await checkout.prepare(repo / "sub", made, "a")
    assert (place / "train.py").read_text() == "sub\n"
    assert (place / "cache/x.ckpt").exists()
    await checkout.release(repo / "sub", "a")
    assert not place.exists()


async def test_a_commit_with_a_patch_and_one_that_is_gone(repo: Path, tmp_path: Path) -> None:
    head = git(repo, "rev-parse", "HEAD").strip()
    write(repo / "train.py", "patched\n")
    write(tmp_path / "dirty.patch", git(repo, "diff"))
    exact = Checkout(git_commit=head, patch=str(tmp_path / "dirty.patch"))
    place = await checkout.prepare(repo, exact, "exact")
    assert (place / "train.py").read_text() == "patched\n"
    with pytest.raises(checkout.CheckoutFailed, match="cannot be checked out"):
        await checkout.prepare(repo, Checkout(git_commit="0" * 40), "gone")
