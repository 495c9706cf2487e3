"""Installed from its wheel, beside a project whose own modules bear the same names as ours."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import wildloop
from tests.support.pace import patient
from tests.support.project import git
from tests.support.server import command_environment, end_politely, wait_for
from tests.support.shadows import shadowing_project
from tests.support.unlike_projects import UNLIKE, repository_of
from wildloop.shim.net import free_ports

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
ROOMS = ("wildloop", "flows", "blocks", "shim", "skills", "examples")
PROGRAM = """\
import flows, wildloop
assert flows.__file__.startswith({folder!r})
with wildloop.connect() as client:
    run = client.submit("python train.py", parameters={{"lr": 0.1}}, workdir={project!r})
    print(run.wait(120).status.value, run.metrics().last, wildloop.research_loop.name)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the files of the repository, in a copy: a build leaves things behind."""
    copy = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", ".wild")
    for room in ROOMS:
        shutil.copytree(ROOT / room, copy / room, ignore=ignored)
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", "dist", "."]
    subprocess.run(command, cwd=copy, check=True, timeout=patient(240))
    return next((copy / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a fresh environment with the wheel in it; the libraries are those of here."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    # The pip of here installs into it: one of its own would take longer to come than the wheel.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", python, "install"]
    command += ["--quiet", "--no-deps", wheel]
    subprocess.run(command, check=True, timeout=patient(240))
    found = subprocess.check_output(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    # A plain line: the hook of the editable install there is not run.
    here = next(entry for entry in sys.path if entry.endswith("site-packages"))
    Path(found.strip(), "libraries.pth").write_text(here + "\n", encoding="utf-8")
    return place / "bin"


def test_the_wheel_holds_every_file_under_one_name(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = git(ROOT, "ls-files", *ROOMS).split("\n")
    names = {
        name if name.startswith("wildloop/") else f"wildloop/{name}" for name in tracked if name
    }
    assert held >= names
    assert {name.split("/")[0] for name in held} == {"wildloop"}
    assert any(re.fullmatch(r"wildloop/skills/.*/SKILL\.md", name) for name in held)


class User:
    """Someone with an own `flows/` and PYTHONPATH=. who has installed the wheel."""

    def __init__(self, bin: Path, folder: Path) -> None:
        self.project = shadowing_project(folder / "project")
        self.bin = bin
        self.home = folder / "home"
        self.url = ""
        env = command_environment(self.home) | {"PYTHONPATH": "."}
        self.env = env | {"PATH": f"{bin}{os.pathsep}{env['PATH']}"}
        self.log = folder / "up.log"

    def __call__(self, *arguments: str, at: Path | None = None) -> Any:
        """A `wildloop` command with --json, in the project or in another folder."""
        return json.loads(self.said(*arguments, "--json", at=at))

    def said(self, *arguments: str, at: Path | None = None) -> str:
        """What a `wildloop` command prints."""
        done = subprocess.run(
            [self.bin / "wildloop", *arguments],
            cwd=at or self.project,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=patient(120),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def python(self, code: str, path: Path) -> str:
        """A program of the user's that finds its own modules by PYTHONPATH."""
        return subprocess.check_output(
            [self.bin / "python", "-P", "-c", code],
            env=self.env | {"PYTHONPATH": str(path)},
            text=True,
            timeout=patient(180),
        )

    def ended(self, session_id: str) -> Any:
        """The session as `status` tells it, once it is over."""
        # Asked from here until then: a command's start costs a second of the machine's time.
        with self.client() as client:
            session = client.session(session_id)
            wait_for(
                lambda: not session.status().is_active,
                f"session {session_id} ends",
                300,
                pauses=(0.5, 2.0),
            )
        return self("status", session_id)

    def client(self) -> "wildloop.Client":
        """A client of the user's server."""
        return wildloop.connect(self.url, (self.home / "token").read_text().strip())


@pytest.fixture(scope="module")
def user(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """With a running `wildloop up`."""
    one = User(installed, tmp_path_factory.mktemp("user"))
    port, prefect_port = free_ports(2)
    one.url = f"http://127.0.0.1:{port}"
    command = [installed / "wildloop", "up", f"--port={port}", f"--prefect-port={prefect_port}"]
    with one.log.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=one.project, env=one.env, stdout=log, stderr=subprocess.STDOUT
        )

    def look() -> bool:
        assert process.poll() is None, one.log.read_text()
        return "Wildloop ready" in one.log.read_text()

    wait_for(look, "`wildloop up` is ready", 120, sign=lambda: one.log.stat().st_size)
    yield one
    end_politely(process)


@pytest.mark.timeout(900)
def test_a_project_with_flows_of_its_own_is_researched(user: User, tmp_path: Path) -> None:
    (tmp_path / "team" / "flows").mkdir(parents=True)
    (tmp_path / "team" / "flows" / "__init__.py").touch()
    program = PROGRAM.format(folder=str(tmp_path), project=str(user.project))
    assert user.python(program, tmp_path / "team") == "finished {'score': 42.0} research-loop\n"

    started = user("start", "Raise the score", "--max-iterations=2")
    session = user.ended(started["session_id"])
    assert session["status"] == "completed", session["error"]
    runs = user("runs", "--session", session["session_id"])
    assert {run["metrics"].get("score") for run in runs} == {42.0}, runs


@pytest.mark.timeout(900)
def test_projects_as_they_are_reach_a_baseline_and_no_file_is_edited(
    user: User, tmp_path: Path
) -> None:
    """The first hour: `init --yes`, `start`, and nothing between."""

    def started(metric: str) -> str:
        folder = repository_of(tmp_path / metric.replace("/", "-"), UNLIKE[metric])
        user.said("init", "--yes", at=folder)
        return str(user("start", at=folder)["session_id"])

    with ThreadPoolExecutor(2) as pool:
        ids = list(pool.map(started, UNLIKE))
    with user.client() as client:
        for metric, session in zip(UNLIKE, map(client.session, ids), strict=True):

            def measured(session: Any = session) -> Any:
                found = session.status()
                assert found.is_active or found.baseline is not None, found
                return found.baseline

            baseline = wait_for(measured, f"{metric} has a baseline", 300)
            assert (baseline.metric, baseline.value > 0) == (metric, True)
            session.stop(stop_runs=True)
