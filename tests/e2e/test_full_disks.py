"""Disks fill up under runs and sessions: all waits, nothing is lost, and it is told."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.project import make_project
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, start_server
from tests.support.small_disk import fill, small_disk
from tests.support.waiting import wait_for

pytestmark = pytest.mark.e2e
FULL_SECONDS = 8.0


def test_runs_that_end_while_the_homes_disk_is_full_have_their_outcome(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", size="700m") as small:
        extra = {"WILDLOOP_DISK_FREE_PERCENT": "1"}
        server = start_server(small / "home", make_project(tmp_path / "project"), 2, extra)
        try:
            go = tmp_path / "go"
            command = f"until [ -e {go} ]; do sleep 0.1; done"
            ids = [server.run(command, name=name, gpus=0)["id"] for name in ("one", "two")]
            for run_id in ids:
                server.reaches(run_id, "running")
            filled = fill(small)
            go.touch()
            threading.Event().wait(FULL_SECONDS)
            told = subprocess.run(
                [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "runs"],
                env=server.env | {"WILDLOOP_SERVER_URL": server.url},
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert "disk full" in told.stderr
            filled.unlink()
            # The database may have ended for want of room, and be started again.
            wait_for(lambda: is_well(server), "all answers again", 120, pauses=(0.5, 1.0))
            for run_id in ids:
                assert server.ended(run_id)["status"] == "finished"
            last = server.run("echo hi", name="afterwards")
            assert server.ended(last["id"])["status"] == "finished"
        finally:
            server.end()


def is_well(server: Server) -> bool:
    return server.http.get("/runs").is_success


def test_a_session_waits_for_room_in_its_project(server: Server, tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", size="20m") as small:
        project, script = make_project(small / "project"), Script(tmp_path / "script")
        script.reply(1, planned())
        script.shell(2, f"dd if=/dev/zero of={small}/fill bs=64k 2> /dev/null; echo ok")
        script.finish(3)
        script.default(STOP)
        session_id = server.start(project, script.agent, max_iterations=4)
        wait_for(lambda: (small / "fill").exists() and script.calls() >= 2, "it is full", 60)
        threading.Event().wait(FULL_SECONDS)
        assert server.session(session_id)["is_active"]
        (small / "fill").unlink()
        session = server.session_ended(session_id)
        assert (session["status"], session["error"]) == ("completed", None)
        assert script.calls() >= 3
        labels = [(step["kind"], step["index"], step["turn"]) for step in session["history"]]
        assert len(labels) == len(set(labels))
