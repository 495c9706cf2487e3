"""Shared by all tests: one `wildloop up` a session, real projects, a scripted agent."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.nvml import FakeNvml, build_nvml
from tests.support.project import make_project
from tests.support.server import Server, start_server

# Of a busy machine these would be failures of what is tested.
settings.register_profile("any-pace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-pace")
pytest_plugins = ["tests.support.selection", "tests.support.slurm"]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real `wildloop up` with two slots, shared by the whole test session."""
    folder = tmp_path_factory.mktemp("wildloop")
    project = make_project(folder / "default project")
    running = start_server(folder / "home", project, slots=2)
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A real `wildloop up` of the test's own, to be ill-treated."""
    running = start_server(tmp_path / "home", make_project(tmp_path / "project"), slots=1)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def rough(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real `wildloop up` with one slot, for the tests of a file that kill it and its parts."""
    folder = tmp_path_factory.mktemp("rough")
    running = start_server(folder / "home", make_project(folder / "project"), slots=1)
    yield running
    running.stop()


@pytest.fixture
def rough_server(rough: Server) -> Iterator[Server]:
    """The same, alive and with nothing else to do."""
    if rough.process.poll() is not None:
        rough.launch()
    rough.stop_all()
    yield rough


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git repository with one commit; its path has a space and an umlaut."""
    return make_project(tmp_path / "my projekt ü")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty git repository with an identity and no commit."""
    folder = tmp_path / "repository"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a stand-in NVML library."""
    return build_nvml(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def nvml(nvml_library: Path, tmp_path: Path) -> FakeNvml:
    """Four made-up GPUs, for processes that are given `nvml.environment`."""
    return FakeNvml(nvml_library, tmp_path / "nvml-state")
