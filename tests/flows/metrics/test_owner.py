"""Runs that share a working directory each get their own metrics."""

import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.server import wait_for
from tests.support.trackers import ENVIRONMENT, write
from wildloop.blocks.launchers.base import LaunchSpec
from wildloop.blocks.launchers.local import LocalLauncher
from wildloop.flows.metrics import RunMetrics, claim_sources, read_all, run_metrics

TRACKERS = ["wandb", "tensorboard", "tensorboardx", "mlflow"]


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    folder = tmp_path / "my projekt"
    folder.mkdir()
    return folder


def make_run(workdir: Path, name: str, started_at: float, finished_at: float | None = None) -> Path:
    folder = workdir / ".wild" / "runs" / f"run-{name}-0123456789"
    folder.mkdir(parents=True)
    manifest = {
        "run_id": folder.name,
        "name": name,
        "command": "train",
        "workdir": str(workdir),
        "host": socket.gethostname(),
        "python": "3",
        "platform": "p",
        "started_at": started_at,
        "finished_at": finished_at,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def read(run_dir: Path, workdir: Path, started_at: float) -> RunMetrics:
    return read_all(run_dir, workdir, started_at, time.time())


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_run_alone_gets_what_was_written_in_its_directory(tracker: str, workdir: Path) -> None:
    started = time.time()
    run_dir = make_run(workdir, "a", started)
    write(tracker, workdir, [{"x": 1}])
    found = read(run_dir, workdir, started)
    assert (found.last, found.notes) == ({"x": 1}, [])
    assert run_metrics(run_dir) == {"x": 1}
    assert read_all(run_dir, workdir).last == {}


@pytest.mark.parametrize("tracker", TRACKERS)
def test_files_of_an_earlier_run_are_not_taken(tracker: str, workdir: Path) -> None:
    before = time.time()
    earlier = make_run(workdir, "a", before)
    write(tracker, workdir, [{"x": 1}])
    ended = time.time()
    later = make_run(workdir, "b", ended + 5)
    assert read_all(later, workdir, ended + 5, None).last == {}
    assert read_all(earlier, workdir, before, ended).last == {"x": 1}


@pytest.mark.parametrize("tracker", TRACKERS)
def test_what_either_of_two_runs_may_have_written_is_left_out_and_said(
    tracker: str, workdir: Path
) -> None:
    started = time.time()
    one, other = make_run(workdir, "a", started), make_run(workdir, "b", started)
    write(tracker, workdir, [{"x": 1}])
    for run_dir in (one, other):
        found = read(run_dir, workdir, started)
        assert found.last == {}
        assert "another run was under way" in found.notes[0]


def test_the_run_id_in_a_path_or_tag_tells_two_runs_apart(workdir: Path) -> None:
    started = time.time()
    one, other = make_run(workdir, "a", started), make_run(workdir, "b", started)
    write(f"tensorboard:logs/{one.name}", workdir, [{"x": 1}])
    context = json.dumps({"wildloop.run": other.name})
    write("mlflow", workdir, [{"y": 2}], MLFLOW_RUN_CONTEXT=context)
    assert read(one, workdir, started).last == {"x": 1}
    assert read(other, workdir, started).last == {"y": 2}


def test_an_event_file_of_another_host_is_not_taken(workdir: Path) -> None:
    started = time.time()
    run_dir = make_run(workdir, "a", started)
    write("tensorboard", workdir, [{"x": 1}])
    (file,) = (workdir / "logs").iterdir()
    file.rename(file.with_name(file.name.replace(socket.gethostname(), "elsewhere")))
    assert read(run_dir, workdir, started).last == {}


def test_an_event_file_of_a_live_process_outside_the_run_is_not_taken(workdir: Path) -> None:
    started = time.time()
    run_dir = make_run(workdir, "a", started)
    file = workdir / f"events.out.tfevents.{int(started)}.{socket.gethostname()}.{os.getpid()}.0"
    file.write_bytes(b"")
    # Nothing was launched in the folder, so that no live process can be the run's.
    assert read(run_dir, workdir, started).sources == []


@pytest.fixture
def script(workdir: Path) -> Path:
    path = workdir / "train.py"
    path.write_text(
        "import sys, time\nfrom pathlib import Path\n"
        "from tensorboard.compat.proto.event_pb2 import Event\n"
        "from tensorboard.compat.proto.summary_pb2 import Summary\n"
        "from tensorboard.summary.writer.event_file_writer import EventFileWriter\n"
        "writer = EventFileWriter('logs/' + sys.argv[1])\n"
        "value = Summary.Value(tag='x', simple_value=float(sys.argv[2]))\n"
        "writer.add_event(Event(step=0, summary=Summary(value=[value])))\nwriter.flush()\n"
        "while not Path('go').exists():\n    time.sleep(0.05)\n"
        "writer.close()\n"
    )
    return path


@pytest.fixture
async def two_runs(workdir: Path, script: Path) -> AsyncIterator[tuple[Path, Path]]:
    launcher, started = LocalLauncher(), time.time()
    folders = []
    for number, name in enumerate(("a", "b")):
        folder = make_run(workdir, name, started)
        await launcher.launch(
            LaunchSpec(
                folder=folder,
                command=f"{sys.executable} train.py {name} {number}",
                cwd=workdir,
                env=dict(os.environ) | ENVIRONMENT,
                log=folder / "run.log",
            )
        )
        folders.append(folder)
    yield folders[0], folders[1]
    (workdir / "go").touch()
    for folder in folders:
        await launcher.stop(folder, 0)


async def test_two_live_runs_are_told_apart_by_their_processes(
    two_runs: tuple[Path, Path], workdir: Path
) -> None:
    for run_dir in two_runs:
        wait_for(lambda one=run_dir: claim_sources(one, workdir), "an event file")
    wait_for(
        lambda: [run_metrics(run_dir) for run_dir in two_runs] == [{"x": 0}, {"x": 1}],
        "each run's own value",
    )
    (workdir / "go").touch()
    launcher = LocalLauncher()
    for run_dir in two_runs:
        await launcher.wait(run_dir, 30)
    # Their processes are gone, the claims are not.
    assert [run_metrics(run_dir) for run_dir in two_runs] == [{"x": 0}, {"x": 1}]
