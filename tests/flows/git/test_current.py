"""What has changed in a project's folder."""

import subprocess
from pathlib import Path

from wildloop.flows.git.current import current_difference


def git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def test_uncommitted_and_new_files_are_told_without_touching_anything(
    repository: Path,
) -> None:
    (repository / "a.py").write_text("one\n")
    (repository / "gone.py").write_text("x\n")
    (repository / "evaluate.py").write_text("score\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "first")
    first = git(repository, "rev-parse", "HEAD").strip()
    (repository / "a.py").write_text("two\n")
    git(repository, "commit", "-qam", "second")
    (repository / "a.py").write_text("two\nthree\n")
    (repository / "new ü.py").write_text("new\n")
    (repository / "gone.py").unlink()
    (repository / "evaluate.py").write_text("cheat\n")
    (repository / ".env").write_text("KEY=secret\n")
    (repository / ".wild" / "sessions" / "s").mkdir(parents=True)
    (repository / ".wild" / "sessions" / "s" / "tasks.md").write_text("- [ ] x\n")
    before = git(repository, "status", "--porcelain")
    now = await current_difference(repository, None, ["evaluate.py"])
    told = {one.path: (one.change, one.added, one.removed) for one in now.files}
    assert told == {
        "a.py": ("modified", 1, 0),
        "new ü.py": ("added", 1, 0),
        "gone.py": ("deleted", 0, 1),
    }
    assert "+three" in now.diff and "secret" not in now.diff and "cheat" not in now.diff
    assert git(repository, "status", "--porcelain") == before
    since = await current_difference(repository, first, [], only="a.py")
    assert [one.path for one in since.files] == ["a.py"]
    assert "-one" in since.diff and "cheat" not in since.diff


async def test_what_cannot_be_told_says_why(repository: Path) -> None:
    assert "It cannot be told" in (await current_difference(repository, None, [])).note
    assert "It cannot be told" in (await current_difference(repository, "--help", [])).note
