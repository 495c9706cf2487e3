"""What a Python carries out by itself, and which Python a command is carried out by."""

import base64
import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wildloop.flows.run.environment import EnvironmentRecorder, python_of
from wildloop.flows.run.startup import startup_files


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def venv(home: Path) -> Path:
    folder = home / "my projekt ü" / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def site(venv: Path) -> Path:
    (found,) = venv.glob("lib/python3*/site-packages")
    return found


def since(venv: Path, moment: float) -> set[str]:
    """Of the environment and of the user; the machine has its own."""
    found = startup_files(venv / "bin" / "python")
    mine = {name: at for name, at in found.items() if str(venv.parents[1]) in name}
    return {Path(name).name for name, at in mine.items() if at > moment}


def test_an_honest_environment_is_not_accused(venv: Path) -> None:
    packages = site(venv)
    record = packages / "tool-1.dist-info" / "RECORD"
    record.parent.mkdir()
    path = "import tool"
    (packages / "tool.pth").write_text(path)
    digest = base64.urlsafe_b64encode(hashlib.sha256(path.encode()).digest()).decode().rstrip("=")
    record.write_text(f"tool.pth,sha256={digest},{len(path)}\n")
    (packages / "_virtualenv.pth").write_text("import _virtualenv")
    (packages / "_virtualenv.py").write_text("")
    assert since(venv, 0) == set()
    (packages / "tool.pth").write_text("import tool; import cheat")
    assert "tool.pth" in since(venv, 0)


def test_what_came_later_is_seen(venv: Path, home: Path) -> None:
    begun = time.time()
    assert since(venv, begun) == set()
    (site(venv) / "better.pth").write_text("import cheat")
    (site(venv) / "usercustomize.py").write_text("")
    local = home / ".local" / site(venv).relative_to(venv)
    local.mkdir(parents=True)
    (local / "sitecustomize.py").write_text("")
    assert since(venv, begun - 1) == {"better.pth", "usercustomize.py", "sitecustomize.py"}


def test_a_script_in_place_of_the_interpreter_is_seen(venv: Path) -> None:
    python = venv / "bin" / "python"
    real = python.resolve()
    python.unlink()
    python.write_text(f'#!/bin/sh\nexec {real} "$@"\n')
    assert "python" in since(venv, 0)


async def test_the_python_that_carries_a_command_out_is_recorded(venv: Path, home: Path) -> None:
    project = venv.parent
    env = {"PATH": str(Path(sys.executable).parent), "HOME": str(home)}
    own = str(venv / "bin" / "python")
    assert python_of(".venv/bin/python train.py", project, env) == own
    assert python_of("LR=1 uv run python train.py --lr 1", project, env) == own
    assert python_of("/opt/my\\ bin/uv run train.py", project, env) == own
    first = shutil.which("python", path=env["PATH"])
    assert python_of("python train.py", project, env) == first
    assert python_of("echo 'unbalanced", project, env) == first
    conda = home / "micromamba" / "envs" / "ml"
    conda.parent.mkdir(parents=True)
    conda.symlink_to(venv)
    assert python_of("micromamba run -n ml python t.py", project, env) == f"{conda}/bin/python"
    assert python_of(f"conda run -p '{venv}' python t.py", project, env) == own
    note = await EnvironmentRecorder().record(project, env, ".venv/bin/python train.py")
    assert note.python == own and Path(note.file or "").exists()
