"""A folder's mark is its own: no clone has it, and no copy."""

import shutil
from pathlib import Path

from tests.support.project import git
from wildloop.flows.files.place import mark_place, place_of


def test_mark_is_made_once_and_git_does_not_see_it(project: Path) -> None:
    assert place_of(project) is None
    mark = mark_place(project)
    assert mark is not None
    assert mark_place(project) == place_of(project) == mark
    assert git(project, "status", "--short") == ""


def test_copy_is_another_place(project: Path, tmp_path: Path) -> None:
    mark, copy = mark_place(project), tmp_path / "copy"
    shutil.copytree(project, copy)
    assert place_of(copy) is None
    assert mark_place(copy) not in (None, mark)
    assert place_of(project) == mark


def test_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert mark_place(tmp_path / "nowhere") is None
    assert not (tmp_path / "nowhere").exists()
