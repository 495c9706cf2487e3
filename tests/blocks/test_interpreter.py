"""Our own processes import our own modules, whatever the project and PYTHONPATH hold."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import wildloop
from tests.support.pace import patient
from tests.support.shadows import shadowing_project
from wildloop.blocks.agents.mcp import server_command
from wildloop.blocks.interpreter import own_command, own_python

# Each with arguments that end it soon, and what it then says.
STARTS = [
    ("wildloop", ["--help"], "Autonomous ML research"),
    ("wildloop.flows.worker.main", ["--help"], "wildloop worker"),
    ("wildloop.shim.main", ["--help"], "wildloop serve"),
    ("wildloop.blocks.part", ["wildloop.flows.worker.main", "--help"], "wildloop worker"),
    ("wildloop.shim.prefect_server", ["--help"], "wildloop prefect-server"),
    ("wildloop.blocks.agents.baseline", ["--check"], "baseline agent: httpx"),
    ("wildloop.blocks.agents.tool_loop", [], "WILDLOOP_TOOL_LOOP_SETTINGS is not set"),
]


@pytest.fixture(scope="module")
def shadows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shadowing_project(tmp_path_factory.mktemp("shadows") / "project")


def run_in(folder: Path, command: list[str]) -> "subprocess.CompletedProcess[str]":
    env = os.environ | {"PYTHONPATH": ".", "WILDLOOP_HOME": str(folder / "home")}
    return subprocess.run(
        command, cwd=folder, env=env, input="", capture_output=True, text=True, timeout=patient(120)
    )


@pytest.mark.parametrize(("module", "arguments", "said"), STARTS, ids=[one[0] for one in STARTS])
def test_a_projects_modules_stand_in_for_none_of_ours(
    shadows: Path, module: str, arguments: list[str], said: str
) -> None:
    done = run_in(shadows, own_command(module, *arguments))
    assert said in done.stdout + done.stderr
    assert "the project's own" not in done.stdout + done.stderr


def test_the_tools_of_an_agent_start_in_such_a_project(shadows: Path) -> None:
    done = run_in(shadows, list(server_command()))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("arguments", [["doctor", "--help"], ["status"]])
def test_the_command_itself_takes_no_module_from_the_project(
    shadows: Path, arguments: list[str]
) -> None:
    command = str(Path(sys.executable).parent / "wildloop")
    done = run_in(shadows, [command, *arguments])
    assert "the project's own" not in done.stdout + done.stderr
    assert "Usage" in done.stdout or "start one with `wildloop up`" in done.stderr


def test_what_our_processes_start_finds_the_projects_modules(shadows: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, 'train.py'], check=True)"
    done = run_in(shadows, [*own_python(), "-c", code])
    assert done.stdout == "score: 42\n"


def test_an_installation_that_pythonpath_finds_is_found_by_our_processes_too() -> None:
    place = str(Path(wildloop.__file__).parents[1])
    assert "-E" not in own_python({"PYTHONPATH": f"/elsewhere{os.pathsep}{place}"})
    assert "-E" in own_python({"PYTHONPATH": "/elsewhere"})
