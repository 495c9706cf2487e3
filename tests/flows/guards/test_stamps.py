"""Protected files that were exchanged during a run and put back as if nothing had been."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wildloop.flows.guards.baseline import take_baseline
from wildloop.flows.guards.protected import ProtectedFiles
from wildloop.flows.guards.runs import RunGuard

SCRIPT = "def score(p, t):\n    return 0.5\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "my projekt ü"
    (project / "judge").mkdir(parents=True)
    (project / "evaluate.py").write_text(SCRIPT)
    (project / "judge" / "rules.py").write_text(SCRIPT)
    return project


def guard_of(project: Path) -> RunGuard:
    home = project.parent
    baseline = take_baseline(project, "s", ["evaluate.py", "judge/**"], home / "copies")
    return RunGuard(ProtectedFiles(baseline, home / "copies", home / "aside"))


async def found(project: Path, during: Callable[[], object]) -> list[str]:
    """The names that the guard tells of a run that does `during`."""
    guard = guard_of(project)
    await guard.before_launch(project, in_checkout=False)
    await guard.watch(project, project / ".wild" / "runs" / "r")
    during()
    return [bad.path for bad in await guard.changed_since(None, project)]


def by_copy(project: Path) -> None:
    file, kept = project / "evaluate.py", project.parent / "kept.py"
    shutil.copy2(file, kept)
    file.write_text("def score(p, t):\n    return 0.9\n")
    shutil.copy2(kept, file)


def by_move(project: Path) -> None:
    file, kept = project / "evaluate.py", project.parent / "kept.py"
    file.rename(kept)
    file.write_text("cheat")
    kept.rename(file)


def by_moved_folder(project: Path) -> None:
    folder, kept = project / "judge", project.parent / "kept"
    folder.rename(kept)
    folder.mkdir()
    shutil.rmtree(folder)
    kept.rename(folder)


@pytest.mark.parametrize(
    ("swap", "name"),
    [(by_copy, "evaluate.py"), (by_move, "evaluate.py"), (by_moved_folder, "judge")],
)
async def test_swapped_and_put_back_with_its_time_is_found(
    project: Path, swap: Callable[[Path], None], name: str
) -> None:
    assert await found(project, lambda: swap(project)) == [name]
    assert (project / "evaluate.py").read_text() == SCRIPT


async def test_reading_and_writing_beside_protected_files_is_no_fault(project: Path) -> None:
    def honest() -> None:
        subprocess.run([sys.executable, "-c", "import evaluate"], cwd=project, check=True)
        (project / "judge" / "cache.tmp").write_text("x")
        (project / "judge" / "cache.tmp").unlink()
        (project / "out").mkdir()
        (project / "evaluate.py").read_bytes()

    assert await found(project, honest) == []


async def test_run_that_another_worker_began_is_judged_by_the_time_of_change(
    project: Path,
) -> None:
    guard = guard_of(project)
    began = (project / "judge" / "rules.py").stat().st_ctime + 1e-5
    assert await guard.changed_since(began, project) == []
    by_copy(project)
    assert [bad.path for bad in await guard.changed_since(began, project)] == ["evaluate.py"]


async def test_tree_of_its_own_is_looked_at_in_its_place(project: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(project, tree)
    guard = guard_of(project)
    await guard.before_launch(tree, in_checkout=True)
    await guard.watch(tree, tmp_path / "r")
    by_copy(tree)
    assert [bad.path for bad in await guard.changed_since(None, tree)] == ["evaluate.py"]
