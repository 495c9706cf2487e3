"""Compiled code never goes from one run to another."""

import importlib.util
import marshal
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wildloop.flows.files.paths import RunPaths
from wildloop.flows.models.run import RunSpec
from wildloop.flows.run.bytecode import prepare_bytecode, remove_bytecode
from wildloop.flows.run.execution import run_environment


def poison(source: Path, cached: Path) -> None:
    """A cache that fits the source by time and size, and holds another evaluation."""
    code = compile("def score():\n    return 0.95\n", str(source), "exec")
    state = source.stat()
    header = importlib.util.MAGIC_NUMBER + bytes(4)
    for number in (int(state.st_mtime), state.st_size):
        header += number.to_bytes(4, "little")
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(header + marshal.dumps(code))


class Runs:
    """Runs of a project, as they are launched."""

    def __init__(self, root: Path) -> None:
        self.project = root / "my projekt ü"
        self.project.mkdir()
        (self.project / "evaluate.py").write_text("def score():\n    return 0.50\n")
        self.home = root / "home"

    def begin(self, id: str) -> tuple[RunPaths, dict[str, str]]:
        paths = RunPaths.of(self.project, id)
        paths.root.mkdir(parents=True)
        spec = RunSpec(name="r", command="true")
        env = run_environment({**os.environ, "HOME": str(self.home)}, spec, id, paths, None)
        prepare_bytecode(paths, self.project, env, self.home / "wildloop")
        return paths, env

    def score(self, env: dict[str, str]) -> str:
        words = [sys.executable, "-c", "import evaluate, json.tool; print(evaluate.score())"]
        done = subprocess.run(
            words, cwd=self.project, env=env, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_poisoned_cache_reaches_no_other_run(runs: Runs) -> None:
    source = runs.project / "evaluate.py"
    paths, env = runs.begin("cheat")
    places = [
        Path(importlib.util.cache_from_source(str(source))),
        paths.bytecode / str(runs.project)[1:] / f"evaluate.{sys.implementation.cache_tag}.pyc",
    ]
    for place in places:
        poison(source, place)
    assert runs.score(env) == "0.95", "the poison works where it is read"
    assert runs.score(runs.begin("honest")[1]) == "0.5"


def test_environment_is_compiled_once_and_shared(runs: Runs) -> None:
    paths, env = runs.begin("one")
    assert runs.score(env) == "0.5"
    shared = runs.home / "wildloop" / "bytecode"
    compiled = {path.name.split(".")[0] for path in shared.rglob("*.pyc")}
    assert "tool" in compiled and "evaluate" not in compiled
    remove_bytecode(paths)
    assert not paths.bytecode.exists()
    assert {path.name.split(".")[0] for path in shared.rglob("*.pyc")} == compiled


def test_project_inside_an_environment_is_not_shared(runs: Runs) -> None:
    paths, env = runs.begin("one")
    env["VIRTUAL_ENV"] = str(runs.project.parent)
    prepare_bytecode(paths, runs.project, env, runs.home / "wildloop")
    runs.score(env)
    shared = runs.home / "wildloop" / "bytecode"
    assert list(shared.rglob("evaluate*")) == []
