"""The sealed folder: copied, for its owner alone, and hidden from commands."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from wildloop.blocks.launchers import hiding
from wildloop.flows.files.sealed import SealedFolder, sealed_home


def test_data_are_copied_for_their_owner_alone(tmp_path: Path) -> None:
    source = tmp_path / "test"
    (source / "deep").mkdir(parents=True)
    (source / "deep/labels.csv").write_text("1\n")
    folder = SealedFolder(tmp_path / "home", tmp_path / "project")
    target = folder.add(source)
    assert (target / "deep/labels.csv").read_text() == "1\n"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder.root, target, target / "deep")}
    assert modes == {0o700}
    assert stat.S_IMODE((target / "deep/labels.csv").stat().st_mode) == 0o600
    (source / "deep/labels.csv").write_text("2\n")
    folder.add(source)
    assert (target / "deep/labels.csv").read_text() == "2\n"
    assert folder.files() == 1
    other = SealedFolder(tmp_path / "home", tmp_path / "other/project")
    assert other.root != folder.root


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="without bubblewrap nothing is hidden")
def test_a_command_sees_nothing_of_it_and_the_holdout_nothing_else_to_write(tmp_path: Path) -> None:
    folder = SealedFolder(tmp_path / "home", tmp_path / "project")
    secret = folder.add(_file(tmp_path / "labels.csv", "secret\n"))
    home, outside = sealed_home(tmp_path / "home"), tmp_path / "out"
    if (fault := hiding.why_not(home)) is not None:
        pytest.skip(fault)
    said = _run(hiding.without(home, f"cat {secret}; cat /proc/{os.getpid()}/root{secret}; exit 3"))
    assert (said.returncode, "secret" in said.stdout) == (3, False)
    assert _run(hiding.without(home, f"umount {home}; ls -A {home}")).stdout == ""
    assert _run(hiding.without(home, f"echo x > {outside}; cat {outside}")).stdout == "x\n"
    scratch = folder.asked / "run"
    scratch.mkdir()
    copies = f"cat {secret}; cp {secret} {outside}; cp {secret} {scratch}"
    words = hiding.alone(scratch, tmp_path, copies)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "secret" in done.stdout and outside.read_text() == "x\n"
    assert (scratch / "labels.csv").exists()


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _run(command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
