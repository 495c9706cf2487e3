"""What counts as the code of a run."""

from pathlib import Path

import pytest

from tests.support.project import git, make_project
from wildloop.flows.git.code import changed_files, code_digest, code_of_tree, counted
from wildloop.flows.git.lines import lines_of_tree
from wildloop.flows.git.snapshot import take_snapshot, working_tree


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("train.py", True),
        ("conf/base.yaml", True),
        ("data/train.csv", True),
        ("data/images/cat.png", True),
        ("requirements.txt", True),
        (".wild/sessions/s/tasks.md", False),
        ("sub/.wild/experiments/x.py", False),
        ("README.md", False),
        ("docs/plot.png", False),
        ("outputs/config.yaml", False),
        ("checkpoints/best.bin", False),
        ("model.pt", False),
        ("test_scores.json", False),
        ("results.csv", False),
        ("scores.py", True),
        ("exp/try/notes.txt", False),
    ],
)
def test_notes_and_outputs_do_not_count(name: str, counts: bool) -> None:
    assert (name in counted({name: "b"})) is counts


def test_a_file_that_the_command_names_counts_wherever_it_lies() -> None:
    files = {"exp/a/train.py": "1", "exp/b/train.py": "2"}
    assert counted(files, command="python exp/a/train.py --lr 1") == {"exp/a/train.py": "1"}


def test_a_project_says_what_else_cannot_matter() -> None:
    files = {"sub/train.py": "1", "sub/cache/x.bin": "2", "cache/x.bin": "3"}
    assert set(counted(files, "sub/", not_code=["cache/"])) == {"sub/train.py"}


async def test_uncommitted_committed_and_snapshot_are_the_same_code(repository: Path) -> None:
    (repository / "train.py").write_text("lr = 0\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "first")
    (repository / "train.py").write_text("lr = 1\n")
    dirty = await working_tree(repository)
    snapshot = (await take_snapshot(repository)).snapshot
    assert snapshot is not None
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "lr")
    (repository / "notes.md").write_text("a note\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "notes")
    digests = {
        code_digest(await code_of_tree(repository, tree)) for tree in (dirty, snapshot, "HEAD")
    }
    assert len(digests) == 1
    (repository / "train.py").write_text("lr = 2\n")
    other = await code_of_tree(repository, await working_tree(repository))
    assert code_digest(other) not in digests


def test_what_came_meanwhile_is_no_change() -> None:
    before = {"a.py": "1", "b.py": "2"}
    assert changed_files(before, before | {"c.py": "3"}) == []
    assert changed_files(before, {"a.py": "9"}) == ["a.py", "b.py"]


async def test_lines_are_those_of_text_files_that_count(tmp_path: Path) -> None:
    project = make_project(tmp_path / "my projekt ü")
    (project / "trän.py").write_text("a\nb\nno end of line")
    (project / "weights.bin").write_bytes(bytes(range(256)) * 4)
    (project / "notes.md").write_text("one\n" * 9)
    (project / "empty.py").touch()
    tree = await working_tree(project)
    files = await code_of_tree(project, tree)
    before = await lines_of_tree(project, tree, set(files) - {"trän.py"})
    assert before is not None
    assert await lines_of_tree(project, tree, files) == before + 3
    assert await lines_of_tree(project, tree, {"weights.bin", "empty.py"}) == 0
