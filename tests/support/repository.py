"""A repository to ill-treat: git's answers without their last newline, files with their folders."""

import os
from pathlib import Path

import pytest

from tests.support.project import git


def sh(path: Path, *arguments: str) -> str:
    """What git answers, stripped."""
    return git(path, *arguments).strip()


def write(path: Path, text: str) -> None:
    """Write a file; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def first_commit(repository: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> Path:
    """Commit these files as a user of the repository's own, whatever git is told elsewhere."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name in ("user.name", "user.email"):
        sh(repository, "config", name, "me")
    for name, text in files.items():
        write(repository / name, text)
    sh(repository, "add", "-A")
    sh(repository, "commit", "-qm", "first")
    return repository
