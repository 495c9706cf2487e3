"""Small real projects."""

import subprocess
from pathlib import Path

TOML = """\
[metric]
name = "score"
direction = "max"
"""


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


def make_project(folder: Path, toml: str = TOML) -> Path:
    """A git repository with a wildloop.toml and one commit."""
    folder.mkdir(parents=True)
    (folder / "wildloop.toml").write_text(toml, encoding="utf-8")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Tester")
    git(folder, "config", "user.email", "tester@localhost")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "start")
    return folder
