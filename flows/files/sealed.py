"""The sealed folder of a project: data that no agent and no run may read."""

import hashlib
import os
import shutil
from pathlib import Path

NAME_LENGTH = 40


def sealed_home(home: Path) -> Path:
    """Where the sealed folders of all projects lie; hidden from runs as a whole."""
    return home / "sealed"


class SealedFolder:
    """What is sealed of one project.

    Args:
        home: WILDLOOP_HOME.
        workdir: the project.
    """

    def __init__(self, home: Path, workdir: Path) -> None:
        place = workdir.resolve()
        digest = hashlib.sha256(str(place).encode("utf-8", "surrogateescape")).hexdigest()[:12]
        self.root = sealed_home(home) / f"{place.name[:NAME_LENGTH]}-{digest}"

    @property
    def data(self) -> Path:
        """The data, for [holdout] command alone."""
        return self.root / "data"

    @property
    def asked(self) -> Path:
        """What the command has said, a folder for each run."""
        return self.root / "asked"

    @property
    def ladder(self) -> Path:
        """What was released of it so far."""
        return self.root / "ladder.json"

    def make(self) -> None:
        """Make the folders, for their owner alone."""
        for path in (self.root.parent, self.root, self.data, self.asked):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.chmod(0o700)

    def add(self, source: Path) -> Path:
        """Copy a file or folder into the sealed data; what has its name there is replaced.

        Raises:
            OSError: it cannot be read, or not be copied.
        """
        self.make()
        target = self.data / source.resolve().name
        draft = self.data / f".{target.name}.new"
        _remove(draft)
        if source.is_dir():
            shutil.copytree(source, draft)
        else:
            shutil.copy2(source, draft)
        _remove(target)
        draft.rename(target)
        for path in (target, *target.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)
        return target

    def files(self) -> int:
        """How many files are sealed."""
        return sum(len(names) for _, _, names in os.walk(self.data))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
