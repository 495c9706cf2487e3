"""A team's own Prefect server: plain SQLite, and PostgreSQL with an auth string by a profile.

All is done by the commands that the team has; what else is on the server stays as it is.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.pace import patient
from tests.support.postgres import postgres_url
from tests.support.project import make_project
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, start_server, wait_for
from tests.support.team_server import TeamServer, team_server

pytestmark = [pytest.mark.e2e, pytest.mark.long]
ROOT = Path(__file__).parents[2]
AUTH = "team:of-the-server"
DEPLOYMENTS = {
    "digest/morning",
    "experiment/wildloop",
    "research-loop/nightly",
    "research-loop/wildloop",
}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def team(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TeamServer]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        with team_server(folder) as server:
            yield server
        return
    with postgres_url() as url, team_server(folder, url, AUTH, by_profile=True) as server:
        yield server


@pytest.fixture(scope="module")
def before(team: TeamServer) -> dict[str, Any]:
    """What was on it before Wildloop came."""
    return team.others()


def worker(team: TeamServer, ready: Path, host: str | None) -> "subprocess.Popen[bytes]":
    """Start a worker; `host`: under another name."""
    words = [sys.executable, "-P", "-m", "wildloop.flows.worker.main", "--slots", "1"]
    words += ["--ready-file", str(ready)]
    if host is not None:
        words = ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "sh", *words]
    env = team.env | {"WILDLOOP_HOME": str(ready.parent / "home")}
    with ready.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(words, env=env, stdout=log, stderr=log)


def deployed(team: TeamServer) -> set[str]:
    """The deployments of Wildloop on it."""
    names = {flow["id"]: flow["name"] for flow in team.post("/flows/filter")}
    found = team.post("/deployments/filter")
    return {f"{names[one['flow_id']]}/{one['name']}" for one in found} - {"their-flow/their"}


def test_three_workers_that_begin_at_once_on_a_fresh_server_all_live(
    team: TeamServer, before: dict[str, Any], tmp_path: Path
) -> None:
    hosts = [None, "host-b", "host-c"] if os.geteuid() == 0 else [None, None, None]
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    started = [
        worker(team, folder / "ready", host) for folder, host in zip(folders, hosts, strict=True)
    ]
    try:

        def all_ready() -> bool:
            for folder, process in zip(folders, started, strict=True):
                assert process.poll() is None, (folder / "ready.log").read_text()
            return all((folder / "ready").exists() for folder in folders)

        wait_for(all_ready, "three workers are ready", 180)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(patient(60))
    logs = [(folder / "ready.log").read_text() for folder in folders]
    assert not any("Traceback" in log for log in logs), logs
    assert deployed(team) == DEPLOYMENTS
    assert team.others() == before


def test_a_worker_that_fails_as_it_begins_ends(team: TeamServer, tmp_path: Path) -> None:
    pool = team.http.get("/work_pools/wildloop").json()["id"]
    # What no worker can read.
    (tmp_path / "home" / f"shares-{pool}.json").mkdir(parents=True)
    process = worker(team, tmp_path / "ready", None)
    assert process.wait(patient(60)) == 1
    assert "IsADirectoryError" in (tmp_path / "ready.log").read_text()


@pytest.mark.parametrize("given", ["", "team:guessed"])
@pytest.mark.parametrize("command", ["deploy", "up", "worker"])
def test_a_missing_or_wrong_auth_string_is_refused_in_one_line(
    team: TeamServer, command: str, given: str
) -> None:
    if "PREFECT_API_URL" in team.extra:
        pytest.skip("this server lets anybody in")
    done = team.wildloop(command, code=1, PREFECT_API_AUTH_STRING=given)
    places = ("using the Prefect", "on http://")
    said = [line for line in done.stderr.splitlines() if not line.startswith(places)]
    assert len(said) == 1 and "refuses access (401)" in said[0], done.stderr
    assert "of-the-server" not in done.stderr + done.stdout


def test_both_ways_to_deploy_leave_the_rest_as_it_is(
    team: TeamServer, before: dict[str, Any]
) -> None:
    said = team.wildloop("deploy").stdout
    assert {line.split()[1] for line in said.splitlines() if line.startswith("deployed")} == (
        DEPLOYMENTS
    )
    team.prefect("deploy", "--all", cwd=ROOT)
    assert deployed(team) == DEPLOYMENTS
    assert team.others() == before


@pytest.fixture(scope="module")
def joined(team: TeamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`wildloop up` on the team's server."""
    folder = tmp_path_factory.mktemp("joined")
    project = make_project(folder / "project")
    running = start_server(folder / "home", project, slots=2, extra=team.extra)
    yield running
    running.stop()


def begin(team: TeamServer, joined: Server, command: str) -> str:
    """Start a run by `prefect deployment run`; its id."""
    spec = {"name": "by prefect", "command": command, "workdir": str(joined.workdir)}
    given = json.dumps({"spec": spec})
    said = team.prefect("deployment", "run", "experiment/wildloop", "--params", given)
    found = team.post("/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 50})
    return next(str(one["id"]) for one in found if one["id"] in said)


def pid_in(file: Path) -> int:
    """The process whose id a command has written."""
    wait_for(lambda: file.exists() and file.read_text().strip(), f"{file} is written")
    return int(file.read_text())


def test_up_says_whose_server_it_uses(team: TeamServer, joined: Server) -> None:
    assert not (joined.home / "postgres").exists()
    said = (joined.home / "up.log").read_text()
    if "PREFECT_API_URL" not in team.extra:
        assert f"using the Prefect server of profile 'lab': {team.url}" in said
    assert AUTH not in said


def test_run_is_done_cancelled_tried_again_and_deleted_by_prefect(
    team: TeamServer, joined: Server, tmp_path: Path
) -> None:
    done = begin(team, joined, "echo score=1")
    assert team.reaches(done, "COMPLETED", "FAILED")["state_type"] == "COMPLETED"

    file, go = tmp_path / "pid", tmp_path / "go"
    command = f"echo $$ > {file}; until [ -e {go} ]; do sleep 0.1; done"
    cancelled = begin(team, joined, command)
    pid = pid_in(file)
    team.prefect("flow-run", "cancel", cancelled)
    team.reaches(cancelled, "CANCELLED")
    wait_for(lambda: not psutil.pid_exists(pid), "its command has ended")

    failed = begin(team, joined, f"echo x >> {tmp_path}/tries; [ -e {go} ]")
    team.reaches(failed, "FAILED")
    go.touch()
    team.prefect("flow-run", "retry", failed)
    team.reaches(failed, "COMPLETED")
    assert (tmp_path / "tries").read_text() == "x\nx\n"
    go.unlink()

    file.unlink()
    deleted = begin(team, joined, command)
    pid = pid_in(file)
    team.prefect("flow-run", "delete", deleted)
    wait_for(lambda: not psutil.pid_exists(pid), "its command has ended", 120)
    assert joined.http.get(f"/runs/{deleted}").status_code == 404


def test_session_is_paused_resumed_and_cancelled_by_prefect(
    team: TeamServer, joined: Server, tmp_path: Path, before: dict[str, Any]
) -> None:
    script = Script(tmp_path / "script").reply(1, planned()).default(STOP)
    go = tmp_path / "go"
    for number in (2, 3, 4):
        script.shell(number, f"until [ -e {go} ]; do sleep 0.1; done; echo '<summary>x</summary>'")
    given = ("goal=Raise the score", f"workdir={joined.workdir}", f"agent={script.agent}")
    words = [word for one in given for word in ("-p", one)]
    said = team.prefect("deployment", "run", "research-loop/wildloop", *words)
    found = team.post("/flow_runs/filter", {"sort": "START_TIME_DESC", "limit": 50})
    session = next(str(one["id"]) for one in found if one["id"] in said)
    wait_for(lambda: script.calls() >= 2, "it iterates", 120)
    # As the buttons of Prefect's UI do.
    paused = {"type": "PAUSED", "name": "Suspended"}
    team.post(f"/flow_runs/{session}/set_state", {"state": paused})
    wait_for(lambda: joined.session(session)["status"] == "paused", "it is paused", 120)
    # One that is resumed before the worker has heard of its pause simply goes on.
    wait_for(lambda: team.is_left_paused(session), "the worker has left it", 120)
    calls = script.calls()
    team.post(f"/flow_runs/{session}/resume")
    wait_for(lambda: script.calls() > calls, "it goes on", 120)
    team.prefect("flow-run", "cancel", session)
    team.reaches(session, "CANCELLED")
    assert joined.session_ended(session)["status"] == "stopped"
    assert team.others() == before
