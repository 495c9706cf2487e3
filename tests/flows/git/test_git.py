"""Branches and commits in real repositories."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.pace import patient
from wildloop.flows.errors import Conflict, InvalidRequest
from wildloop.flows.git import index, repository
from wildloop.flows.git.repository import CommitResult, GitError, refusal_reason

MB = 1024 * 1024
IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")


def sh(path: Path, *arguments: str) -> str:
    """Run git as a user with an identity would."""
    done = subprocess.run(
        ["git", "-C", str(path), *IDENTITY, *arguments], capture_output=True, check=True
    )
    return done.stdout.decode("utf-8", "surrogateescape")


def tracked(path: Path, commit: str = "HEAD") -> set[str]:
    names = sh(path, "ls-tree", "-r", "-z", "--name-only", commit)
    return {name for name in names.split("\0") if name}


def write(path: Path, text: str = "text\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


async def commit(path: Path, message: str = "Message", *, hooks: bool = False) -> CommitResult:
    return await repository.commit_all(path, message, hooks=hooks)


@pytest.fixture(autouse=True)
def no_user_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "EMAIL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A repository without commits, under a hostile path."""
    path = tmp_path / "a project é"
    path.mkdir()
    sh(path, "init", "-q", "-b", "main")
    return path


@pytest.fixture
def repo(empty: Path) -> Path:
    """A repository with one commit."""
    write(empty / "train.py", "one\n")
    sh(empty, "add", "-A")
    sh(empty, "commit", "-q", "-m", "first")
    return empty


async def test_where_a_repository_is(tmp_path: Path, repo: Path) -> None:
    assert await repository.is_repository(repo)
    write(repo / "sub" / "a")
    assert await repository.is_repository(repo / "sub")
    assert not await repository.is_repository(tmp_path)
    assert not await repository.is_repository(tmp_path / "missing")
    sh(repo, "clone", "-q", "--bare", str(repo), str(tmp_path / "bare"))
    assert not await repository.is_repository(tmp_path / "bare")


async def test_git_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch, repo: Path) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(GitError, match="install it"):
        await repository.in_the_way(repo)
    with pytest.raises(GitError, match="install it"):
        await repository.is_repository(repo.parent)


async def test_head_and_branch(empty: Path) -> None:
    assert await repository.head_commit(empty) is None
    assert await repository.current_branch(empty) == "main"
    assert await repository.log_for_branch(empty) == []
    write(empty / "a")
    made = await commit(empty)
    assert await repository.head_commit(empty) == made.commit
    sh(empty, "checkout", "-q", "--detach")
    assert await repository.current_branch(empty) is None


async def test_head_outside_a_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GitError):
        await repository.head_commit(tmp_path)


async def test_variables_of_a_hook_do_not_mislead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repo: Path
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert await repository.is_repository(repo)
    assert await repository.current_branch(repo) == "main"


async def test_a_branch_begins_at_head_and_changes_come_along(repo: Path) -> None:
    write(repo / "train.py", "two\n")
    await repository.start_branch(repo, "wild/s1")
    assert await repository.current_branch(repo) == "wild/s1"
    assert (repo / "train.py").read_text() == "two\n"


async def test_a_branch_that_exists_is_switched_to(repo: Path) -> None:
    await repository.start_branch(repo, "wild/s1")
    write(repo / "a")
    made = await commit(repo)
    sh(repo, "switch", "-q", "main")
    await repository.start_branch(repo, "wild/s1")
    await repository.start_branch(repo, "wild/s1")
    assert await repository.head_commit(repo) == made.commit


async def test_a_branch_begins_at_its_base(repo: Path) -> None:
    base = await repository.head_commit(repo)
    write(repo / "a")
    await commit(repo)
    await repository.start_branch(repo, "wild/s1", base)
    assert await repository.head_commit(repo) == base


async def test_a_branch_begins_before_the_first_commit(empty: Path) -> None:
    await repository.start_branch(empty, "wild/s1")
    write(empty / "a")
    made = await commit(empty)
    assert await repository.current_branch(empty) == "wild/s1"
    assert made.files == ["a"]


@pytest.mark.parametrize("name", ["", "-f", "a b", "a..b", "a.lock", "wild/"])
async def test_an_impossible_branch_name_is_told(repo: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="branch"):
        await repository.start_branch(repo, name)


async def test_a_switch_that_git_refuses_is_a_conflict(repo: Path) -> None:
    sh(repo, "branch", "wild")
    with pytest.raises(Conflict, match="cannot switch to branch 'wild/s1'"):
        await repository.start_branch(repo, "wild/s1")
    sh(repo, "switch", "-q", "-c", "other")
    write(repo / "train.py", "other\n")
    await commit(repo)
    write(repo / "train.py", "dirty\n")
    with pytest.raises(Conflict, match="commit or stash"):
        await repository.start_branch(repo, "main")
    assert (repo / "train.py").read_text() == "dirty\n"


def merge_conflict(repo: Path, how: str) -> None:
    """Leave a merge or rebase with a conflict."""
    sh(repo, "switch", "-q", "-c", "other")
    write(repo / "train.py", "other\n")
    sh(repo, "commit", "-q", "-am", "other")
    sh(repo, "switch", "-q", "main")
    write(repo / "train.py", "main\n")
    sh(repo, "commit", "-q", "-am", "main")
    with pytest.raises(subprocess.CalledProcessError):
        sh(repo, how, "other")


@pytest.mark.parametrize("how", ["merge", "rebase", "cherry-pick"])
async def test_nothing_is_done_in_the_middle_of_a_merge(repo: Path, how: str) -> None:
    merge_conflict(repo, how)
    with pytest.raises(Conflict, match=f"a {how} is under way"):
        await repository.start_branch(repo, "wild/s1")
    with pytest.raises(GitError, match=f"a {how} is under way"):
        await commit(repo)


async def test_unmerged_files_are_not_committed(repo: Path) -> None:
    write(repo / "train.py", "stashed\n")
    sh(repo, "stash", "-q")
    write(repo / "train.py", "other\n")
    await commit(repo)
    with pytest.raises(subprocess.CalledProcessError):
        sh(repo, "stash", "pop")
    with pytest.raises(GitError, match=r"unmerged files: train\.py"):
        await commit(repo)


@pytest.mark.parametrize(
    ("path", "refused"),
    [
        ("train.py", False),
        ("src/a b.py", False),
        (".wild/runs/r1/run.log", True),
        ("sub/.wild/runs/r1/run.log", True),
        (".wild/sessions/s1/tasks.md", False),
        (".wild/experiments/check.md", False),
        ("runs/a", False),
        ("src/__pycache__/a.cpython-311.pyc", True),
        ("a.pyc", True),
        ("a.pyo", True),
        (".env", True),
        ("sub/.env", True),
        (".ENV", True),
        (".env.local", True),
        (".env.production", True),
        (".env/bin/python", True),
        (".env.example", False),
        ("sub/.env.example", False),
        (".envrc", False),
        ("my.env", False),
        ("environment.yml", False),
        ("build/lib/a.py", True),
        ("build", False),
        ("builder/a.py", False),
        ("dist/a.whl", True),
        ("a.egg-info/PKG-INFO", True),
        ("node_modules/a/index.js", True),
        ("web/node_modules/a", True),
        (".venv/bin/python", True),
        (".venv", True),
        ("venv/bin/python", True),
        (".mypy_cache/a", True),
        (".pytest_cache/a", True),
        (".ruff_cache/a", True),
        (".ipynb_checkpoints/a.ipynb", True),
    ],
)
def test_which_paths_are_refused(path: str, refused: bool) -> None:
    assert (refusal_reason(path, 10) is not None) is refused


def test_large_files_are_refused() -> None:
    assert refusal_reason("a.bin", 5 * MB) is None
    assert refusal_reason("a.bin", 5 * MB + 1) == f"larger than 5 MB ({5 * MB + 1} bytes)"


NAMES = ["a b", "é.txt", "two\nlines", '"quoted"', "-x", ":(top)a", "*", "#a", "tab\t", "\\", "~"]


async def test_hostile_names_are_committed(repo: Path) -> None:
    for name in NAMES:
        write(repo / name)
        write(repo / "dir é" / name)
    made = await commit(repo)
    assert set(made.files) == {*NAMES, *(f"dir é/{name}" for name in NAMES)}
    assert tracked(repo) == {"train.py", *made.files}
    assert sh(repo, "status", "--porcelain") == ""


async def test_a_name_that_is_not_utf8_is_committed(repo: Path) -> None:
    (Path(os.fsdecode(os.fsencode(repo) + b"/caf\xe9"))).write_text("x")
    made = await commit(repo)
    assert made.files == ["caf\ufffd"]
    assert sh(repo, "status", "--porcelain") == ""


async def test_changes_deletions_and_renames_are_committed(repo: Path) -> None:
    write(repo / "gone.py")
    write(repo / "old.py")
    await commit(repo)
    (repo / "gone.py").unlink()
    (repo / "old.py").rename(repo / "new.py")
    write(repo / "train.py", "two\n")
    made = await commit(repo)
    assert sorted(made.files) == ["gone.py", "new.py", "old.py", "train.py"]
    assert tracked(repo) == {"train.py", "new.py"}
    assert sh(repo, "status", "--porcelain") == ""


async def test_files_folders_and_links_may_change_places(repo: Path) -> None:
    write(repo / "a")
    write(repo / "b" / "c")
    write(repo / "d" / "e")
    await commit(repo)
    (repo / "a").unlink()
    write(repo / "a" / "x")
    (repo / "b" / "c").unlink()
    (repo / "b").rmdir()
    write(repo / "b")
    (repo / "d").rename(repo / "f")
    (repo / "d").symlink_to("f")
    await commit(repo)
    assert tracked(repo) == {"train.py", "a/x", "b", "d", "f/e"}
    assert sh(repo, "status", "--porcelain") == ""


async def test_links_are_committed_as_links(repo: Path, tmp_path: Path) -> None:
    write(tmp_path / "large" / "x", "x" * 6 * MB)
    (repo / "to-file").symlink_to(tmp_path / "large" / "x")
    (repo / "to-folder").symlink_to(tmp_path / "large")
    (repo / "to-nothing").symlink_to("missing")
    made = await commit(repo)
    assert sorted(made.files) == ["to-file", "to-folder", "to-nothing"]
    assert sh(repo, "ls-files", "-s").count("120000") == 3


async def test_what_does_not_belong_is_left_out_and_told(repo: Path) -> None:
    write(repo / "ok.py")
    write(repo / ".env", "SECRET=1")
    write(repo / ".env.example")
    write(repo / "large.bin", "x" * (5 * MB + 1))
    write(repo / ".wild" / "runs" / "r1" / "run.log")
    for number in range(3):
        write(repo / "node_modules" / f"{number}.js")
    made = await commit(repo)
    assert tracked(repo) == {"train.py", "ok.py", ".env.example"}
    assert sorted(made.skipped) == [
        ".env: may hold secrets",
        f"large.bin: larger than 5 MB ({5 * MB + 1} bytes)",
        "node_modules/: build output (3 files)",
    ]
    assert (repo / ".env").exists()


async def test_tracked_files_that_do_not_belong_keep_their_old_content(repo: Path) -> None:
    write(repo / ".env", "OLD=1")
    write(repo / "build" / "a")
    sh(repo, "add", "-A", "-f")
    sh(repo, "commit", "-q", "-m", "careless")
    write(repo / ".env", "NEW=1")
    (repo / "build" / "a").unlink()
    made = await commit(repo)
    assert made.files == ["build/a"]
    assert sh(repo, "show", "HEAD:.env") == "OLD=1"


async def test_sessions_are_committed_though_ignored(repo: Path) -> None:
    write(repo / ".gitignore", ".wild\n*.log\n")
    write(repo / ".wild" / "sessions" / "s1" / "tasks.md")
    write(repo / ".wild" / "sessions" / "s1" / "a.log")
    write(repo / ".wild" / "runs" / "r1" / "run.log")
    write(repo / "other.log")
    await commit(repo)
    sessions = {".wild/sessions/s1/tasks.md", ".wild/sessions/s1/a.log"}
    assert tracked(repo) == {"train.py", ".gitignore", *sessions}
    write(repo / ".wild" / "sessions" / "s1" / "tasks.md", "more\n")
    (repo / ".wild" / "sessions" / "s1" / "a.log").unlink()
    made = await commit(repo)
    assert sorted(made.files) == sorted(sessions)


async def test_a_project_in_a_subfolder(repo: Path) -> None:
    project = repo / "sub [x]"
    write(repo / ".gitignore", ".wild\n")
    write(project / ".wild" / "sessions" / "s1" / "tasks.md")
    write(project / ".wild" / "runs" / "r1" / "run.log")
    write(project / "a.py")
    await repository.ensure_ignored(project, ".wild/runs/")
    (repo / ".gitignore").unlink()
    assert "run.log" not in sh(repo, "status", "--porcelain", "-uall")
    made = await repository.commit_all(project, "Message")
    assert sorted(made.files) == ["sub [x]/.wild/sessions/s1/tasks.md", "sub [x]/a.py"]


async def test_a_nested_repository_is_taken_in_by_its_files(repo: Path) -> None:
    for name in ("with", "without"):
        write(repo / name / "a")
        sh(repo / name, "init", "-q")
    sh(repo / "with", "add", "-A")
    sh(repo / "with", "commit", "-q", "-m", "nested")
    write(repo / "with" / "a", "edited\n")
    write(repo / "with" / ".gitignore", "out\n")
    write(repo / "with" / "out")
    write(repo / "ok.py")
    made = await commit(repo)
    assert sorted(made.files) == ["ok.py", "with/.gitignore", "with/a", "without/a"]
    assert sh(repo, "show", "HEAD:with/a") == "edited\n"
    write(repo / "with" / "new")
    assert (await commit(repo)).files == ["with/new"]


async def test_a_large_nested_repository_is_left_out_and_told(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "NESTED_FILES", 1)
    for name in ("a", "b"):
        write(repo / "lib" / name)
    sh(repo / "lib", "init", "-q")
    made = await commit(repo)
    assert made.skipped == ["lib/: a git repository of its own, too large to take in"]


async def test_a_submodule_is_committed_by_its_commit(repo: Path, tmp_path: Path) -> None:
    sh(tmp_path, "clone", "-q", str(repo), "library")
    local = ("-c", "protocol.file.allow=always")
    sh(repo, *local, "submodule", "add", "-q", str(tmp_path / "library"), "lib")
    made = await commit(repo)
    assert sorted(made.files) == [".gitmodules", "lib"]
    write(repo / "lib" / "dirty")
    left_out = await commit(repo)
    assert (left_out.files, left_out.skipped) == ([], [f"lib: {index.UNCOMMITTED}"])
    sh(repo / "lib", "add", "-A")
    sh(repo / "lib", "commit", "-q", "-m", "inside")
    taken = await commit(repo)
    assert (taken.files, taken.skipped) == (["lib"], [])
    assert "160000" in sh(repo, "ls-tree", "HEAD", "lib")


async def test_what_was_staged_is_committed(repo: Path) -> None:
    write(repo / "staged.py")
    sh(repo, "add", "staged.py")
    sh(repo, "rm", "-q", "train.py")
    made = await commit(repo)
    assert sorted(made.files) == ["staged.py", "train.py"]
    assert sh(repo, "status", "--porcelain") == ""


async def test_what_was_staged_of_a_changed_file_is_a_commit_before(repo: Path) -> None:
    write(repo / "train.py", "staged\n")
    write(repo / "new.py", "staged\n")
    sh(repo, "add", "-A")
    write(repo / "train.py", "later\n")
    (repo / "new.py").unlink()
    made = await commit(repo, "Subject\n\nBody")
    assert made.files == ["train.py"]
    assert sh(repo, "show", "HEAD~1:train.py") == "staged\n"
    assert sh(repo, "show", "HEAD~1:new.py") == "staged\n"
    assert sh(repo, "show", "HEAD:train.py") == "later\n"
    assert sh(repo, "status", "--porcelain") == ""
    log = await repository.log_for_branch(repo)
    assert [one.subject for one in log] == ["Subject", "As staged before: Subject", "first"]


async def test_what_was_staged_and_does_not_belong_stays_staged(repo: Path) -> None:
    write(repo / ".env", "STAGED=1")
    sh(repo, "add", "-f", ".env")
    write(repo / ".env", "LATER=1")
    write(repo / "*")
    made = await commit(repo)
    assert made.files == ["*"]
    assert sh(repo, "show", ":.env") == "STAGED=1"
    assert sh(repo, "diff", "--cached", "--name-only") == ".env\n"


async def test_the_first_commit_leaves_out_what_was_staged_and_does_not_belong(
    empty: Path,
) -> None:
    write(empty / ".env")
    write(empty / "a")
    sh(empty, "add", "-A")
    write(empty / "a", "later\n")
    made = await commit(empty)
    assert made.files == ["a"]
    assert tracked(empty) == {"a"}
    assert sh(empty, "status", "--porcelain").startswith("A")


async def test_a_file_removed_from_the_index_leaves_git_and_stays(repo: Path) -> None:
    write(repo / ".gitignore", "train.py\n")
    sh(repo, "rm", "-q", "--cached", "train.py")
    await commit(repo)
    assert tracked(repo) == {".gitignore"}
    assert (repo / "train.py").exists()


async def test_an_empty_commit_is_made_unless_forbidden(repo: Path) -> None:
    before = await repository.head_commit(repo)
    made = await repository.commit_all(repo, "Message", allow_empty=False)
    assert (made.commit, made.files) == (before, [])
    made = await commit(repo)
    assert made.commit != before
    assert made.files == []


@pytest.mark.parametrize(
    "message", ["Subject\n\n# no comment\n", "", "a\x00b", "\ud800", "-m", "é" * 10_000]
)
async def test_any_message_is_taken(repo: Path, message: str) -> None:
    made = await commit(repo, message)
    assert await repository.head_commit(repo) == made.commit
    if "#" in message:
        assert "# no comment" in sh(repo, "log", "-1", "--format=%B")


async def test_the_identity_of_the_repository_is_kept(repo: Path) -> None:
    await commit(repo)
    form = "--format=%an <%ae> %cn"
    assert sh(repo, "log", "-1", form) == "Wildloop <wildloop@localhost> Wildloop\n"
    sh(repo, "config", "user.name", "Grace")
    sh(repo, "config", "user.email", "grace@example.org")
    await commit(repo)
    assert sh(repo, "log", "-1", form) == "Grace <grace@example.org> Grace\n"
    await repository.commit_all(repo, "Message", author="Agent <agent@example.org>")
    assert sh(repo, "log", "-1", form) == "Agent <agent@example.org> Grace\n"


async def test_a_failing_hook_is_told_and_nothing_is_lost(repo: Path) -> None:
    hook = write(repo / ".git" / "hooks" / "pre-commit", "#!/bin/sh\necho not like this\nexit 1\n")
    hook.chmod(0o755)
    write(repo / "a")
    with pytest.raises(GitError, match=r"(?s)not like this.*hooks in place: pre-commit"):
        await commit(repo, hooks=True)
    assert sh(repo, "status", "--porcelain") == "?? a\n"
    write(hook, "#!/bin/sh\nexit 1\n")
    with pytest.raises(GitError, match="hooks in place: pre-commit"):
        await commit(repo, hooks=True)


@pytest.mark.parametrize("name", ["pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"])
async def test_hooks_are_not_run_unless_asked_for(repo: Path, name: str) -> None:
    hook = write(repo / ".git" / "hooks" / name, "#!/bin/sh\n: > ran\nexit 1\n")
    hook.chmod(0o755)
    write(repo / "a")
    assert (await commit(repo)).files == ["a"]
    assert not (repo / "ran").exists()


async def test_a_hook_may_add_to_the_commit_and_sees_no_token(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILDLOOP_AUTH_TOKEN", "secret")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "secret")
    hook = write(
        repo / ".git" / "hooks" / "pre-commit",
        "#!/bin/sh\nenv | grep -c secret > by-hook\ngit add by-hook\n",
    )
    hook.chmod(0o755)
    made = await commit(repo, hooks=True)
    assert made.files == ["by-hook"]
    assert (repo / "by-hook").read_text() == "0\n"
    assert sh(repo, "status", "--porcelain") == ""


async def test_a_commit_is_not_signed(repo: Path) -> None:
    sh(repo, "config", "commit.gpgsign", "true")
    sh(repo, "config", "gpg.program", "/bin/false")
    await commit(repo)


async def test_a_lock_that_goes_away_is_waited_for(repo: Path) -> None:
    write(repo / "a")
    lock = write(repo / ".git" / "index.lock", "")
    waiting = asyncio.create_task(commit(repo))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    lock.unlink()
    assert (await waiting).files == ["a"]


async def test_a_lock_that_stays_is_told(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "LOCK_TRIES", 2)
    write(repo / ".git" / "index.lock", "")
    with pytest.raises(GitError, match=r"locked .*index\.lock.*remove the file"):
        await commit(repo)
    assert not list((repo / ".git").glob("wildloop-*"))


async def test_a_file_without_permission_is_left_out(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may read everything, so the answer is given here.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed")
    write(repo / "closed")
    write(repo / "ok")
    made = await commit(repo)
    assert made.files == ["ok"]
    assert made.skipped == ["closed: cannot be read"]


async def test_a_cancelled_commit_leaves_no_lock(repo: Path) -> None:
    hook = write(repo / ".git" / "hooks" / "pre-commit", "#!/bin/sh\n: > started\nsleep 60\n")
    hook.chmod(0o755)
    task = asyncio.create_task(commit(repo, hooks=True))
    async with asyncio.timeout(patient(20)):
        while not (repo / "started").exists():
            await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    hook.unlink()
    assert (await commit(repo)).files == ["started"]
    assert not list((repo / ".git").glob("wildloop-*"))


async def test_a_worktree_has_its_own_branch_and_the_shared_excludes(
    repo: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    sh(repo, "worktree", "add", "-q", str(tree))
    await repository.ensure_ignored(tree, ".wild/runs/")
    await repository.start_branch(tree, "wild/s1")
    write(tree / ".wild" / "runs" / "a")
    write(tree / "b")
    assert sh(tree, "status", "--porcelain") == "?? b\n"
    assert (await commit(tree)).files == ["b"]
    assert await repository.current_branch(repo) == "main"
    with pytest.raises(Conflict, match="wild/s1"):
        await repository.start_branch(repo, "wild/s1")


async def test_a_pattern_is_excluded_once_and_gitignore_stays(repo: Path) -> None:
    exclude = repo / ".git" / "info" / "exclude"
    exclude.write_bytes(b"# caf\xe9\nlast")
    write(repo / ".gitignore", "x\n")
    await repository.ensure_ignored(repo, ".wild/runs/")
    await repository.ensure_ignored(repo, ".wild/runs/")
    assert exclude.read_bytes() == b"# caf\xe9\nlast\n.wild/runs/\n"
    assert (repo / ".gitignore").read_text() == "x\n"
    exclude.unlink()
    exclude.parent.rmdir()
    await repository.ensure_ignored(repo, ".wild/runs/")
    assert exclude.read_bytes() == b".wild/runs/\n"


async def test_a_patch_rebuilds_the_tracked_changes(repo: Path, tmp_path: Path) -> None:
    sh(repo, "config", "diff.noprefix", "true")
    sh(repo, "config", "color.ui", "always")
    (repo / "bin").write_bytes(bytes(range(256)))
    (repo / "latin").write_bytes(b"caf\xe9\n")
    await commit(repo)
    sh(tmp_path, "clone", "-q", str(repo), "copy")
    (repo / "bin").write_bytes(bytes(reversed(range(256))))
    (repo / "latin").write_bytes(b"th\xe9\n")
    (repo / "train.py").unlink()
    write(repo / "staged.py")
    sh(repo, "add", "staged.py")
    write(repo / "untracked.py")
    patch = tmp_path / "dirty.patch"
    patch.write_text(await repository.diff_patch(repo), encoding="utf-8", errors="surrogateescape")
    sh(tmp_path / "copy", "apply", str(patch))
    assert (tmp_path / "copy" / "bin").read_bytes() == bytes(reversed(range(256)))
    assert (tmp_path / "copy" / "latin").read_bytes() == b"th\xe9\n"
    assert (tmp_path / "copy" / "staged.py").exists()
    assert not (tmp_path / "copy" / "train.py").exists()
    assert not (tmp_path / "copy" / "untracked.py").exists()


async def test_a_patch_holds_no_secrets_and_no_run_files(repo: Path) -> None:
    write(repo / ".env", "OLD=1")
    write(repo / ".wild" / "sessions" / "a")
    sh(repo, "add", "-A", "-f")
    sh(repo, "commit", "-q", "-m", "careless")
    write(repo / ".env", "NEW=1")
    write(repo / ".wild" / "sessions" / "a", "later\n")
    assert await repository.diff_patch(repo) == ""


async def test_a_clean_or_empty_repository_has_no_patch(repo: Path, tmp_path: Path) -> None:
    assert await repository.diff_patch(repo) == ""
    (tmp_path / "new").mkdir()
    sh(tmp_path / "new", "init", "-q")
    assert await repository.diff_patch(tmp_path / "new") == ""


async def test_a_large_patch_is_capped_at_a_whole_file_with_a_note(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "huge"):
        write(repo / name)
    await commit(repo)
    sh(tmp_path, "clone", "-q", str(repo), "copy")
    monkeypatch.setattr(repository, "PATCH_LIMIT_BYTES", 3000)
    write(repo / "a", "x" * 2000 + "\n")
    write(repo / "b", "y" * 2000 + "\n")
    write(repo / "huge", "z" * 4000 + "\n")
    text = await repository.diff_patch(repo)
    assert "# capped: the changes of huge are left out" in text
    assert len(text) < 3500
    patch = write(tmp_path / "dirty.patch", text)
    sh(tmp_path / "copy", "apply", str(patch))
    assert (tmp_path / "copy" / "a").read_text() == "x" * 2000 + "\n"
    assert (tmp_path / "copy" / "b").read_text() == "text\n"


async def test_changed_files_since_a_commit(repo: Path) -> None:
    base = await repository.head_commit(repo)
    assert base is not None
    assert await repository.changed_files(repo, base) == []
    write(repo / "two\nlines")
    (repo / "train.py").rename(repo / "é.py")
    await commit(repo)
    assert sorted(await repository.changed_files(repo, base)) == ["train.py", "two\nlines", "é.py"]


@pytest.mark.parametrize("commit_name", ["", "missing", "--output=x", "HEAD~5"])
async def test_an_unknown_commit_is_an_error(repo: Path, commit_name: str) -> None:
    with pytest.raises(GitError):
        await repository.changed_files(repo, commit_name)
    assert not (repo / "x").exists()


async def test_the_log_of_a_branch(repo: Path) -> None:
    await repository.start_branch(repo, "wild/s1")
    for number in range(3):
        await commit(repo, f"Commit {number}\n\nBody")
    log = await repository.log_for_branch(repo, "wild/s1", limit=2)
    assert [one.subject for one in log] == ["Commit 2", "Commit 1"]
    assert log[0].commit == await repository.head_commit(repo)
    assert log[0].author == "Wildloop"
    assert [one.subject for one in await repository.log_for_branch(repo, "main")] == ["first"]
