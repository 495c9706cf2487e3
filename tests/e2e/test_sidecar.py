"""A process beside a run, written for the API's origin, with Wildloop."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server

pytestmark = pytest.mark.e2e
SIDECAR = Path(__file__).parents[1] / "support" / "sidecar.py"


def test_a_sidecar_tells_asks_and_stops_its_run(server: Server) -> None:
    run = server.run("sleep 600")
    running = server.reaches(run["id"], "running")
    words = [server.url, server.token, run["id"], running["run_dir"]]
    with subprocess.Popen(
        [sys.executable, str(SIDECAR), *words], stdout=subprocess.PIPE, text=True
    ) as sidecar:

        def asked() -> dict[str, Any] | None:
            found = server.get(f"/runs/{run['id']}/alerts")
            return dict(found[0]) if found else None

        alert = server.wait_for(asked, "the sidecar's alert")
        assert (alert["message"], alert["actions"]) == (
            "loss is odd",
            {"Ignore": "none", "Stop Job": "stop"},
        )
        server.post(f"/alerts/{alert['id']}/respond", {"choice": "Stop Job"})
        told, _ = sidecar.communicate(timeout=300)
    assert sidecar.returncode == 0, told
    assert [line.split(" ")[:2] for line in told.splitlines()] == [
        ["status", "200"],
        ["rows", "200"],
        ["alert", "200"],
        ["outcome", "200"],
    ]
    assert server.get(f"/runs/{run['id']}")["status"] == "stopped"
    found = server.get(f"/runs/{run['id']}/metrics", name="loss")["series"]["loss"]
    assert [point["value"] for point in found] == pytest.approx([1 / n for n in range(1, 30)])
