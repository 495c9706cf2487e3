"""A session's own copy of its project's skills: what is changed there meanwhile is not followed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from wildloop.flows.skills.library import SkillLibrary, project_skills_path, shipped_skills_path


def session_library(home: Path, workdir: Path, session_id: str) -> SkillLibrary:
    """The skills that a session follows: the shipped ones, and the project's of its beginning.

    Args:
        home: WILDLOOP_HOME, where the copy lies.
        workdir: the project.
        session_id: of the session.

    Raises:
        OSError: the project's skills cannot be copied.
    """
    copy = _copy_of(home, session_id)
    if not copy.exists():
        draft = copy.with_name(f".{copy.name}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        top = project_skills_path(workdir)
        for name in _files(top):
            target = draft / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(top / name, target, follow_symlinks=False)
        draft.rename(copy)
    return SkillLibrary(shipped_skills_path(), copy)


def forget(home: Path, session_id: str) -> None:
    """Take the copy away: the session is over."""
    shutil.rmtree(_copy_of(home, session_id), ignore_errors=True)


def changed_skills(workdir: Path, library: SkillLibrary, since: float) -> list[str]:
    """Ids of the project's skills that were changed since `since` (Unix seconds)."""
    top, copy = project_skills_path(workdir), library.project
    found: dict[str, None] = {}
    for name in _files(top):
        path, known = top / name, None if copy is None else copy / name
        is_new = path.lstat().st_ctime >= since
        if is_new and (known is None or not known.is_file() or not _are_same(path, known)):
            found[Path(name).parts[0]] = None
    return sorted(found)


def shadowing(library: SkillLibrary) -> list[str]:
    """Ids of the project's skills that stand for shipped ones."""
    own = {Path(name).parts[0] for name in _files(library.project)} if library.project else set()
    return sorted(id for id in own if library.is_shipped(id))


def _copy_of(home: Path, session_id: str) -> Path:
    return home / "skills" / session_id


def _are_same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def _files(top: Path) -> Iterator[str]:
    """The regular files of the skills below `top`; links are not followed."""
    for folder, _, names in os.walk(top):
        for name in names:
            path = Path(folder) / name
            if path.parent != top and path.is_file() and not path.is_symlink():
                yield str(path.relative_to(top))
