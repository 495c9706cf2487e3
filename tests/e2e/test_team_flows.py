"""A team's own flows beside Wildloop's: on one pool, on one host, under the same limits."""

import html
import json
import re
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.pace import patient
from tests.support.project import git, make_project
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, start_server

pytestmark = pytest.mark.e2e
DOCS = Path(__file__).parents[2] / "docs" / "prefect.md"
SLOTS = 2
EACH = 15


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A host with two slots, for the team and for Wildloop."""
    folder = tmp_path_factory.mktemp("team")
    running = start_server(folder / "home", make_project(folder / "project"), slots=SLOTS)
    yield running
    running.stop()


def documented(title: str) -> str:
    """The block of code that the docs show under this comment."""
    found = re.search(rf"<!-- {title} -->\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None, title
    return found[1]


def prefect(server: Server, *arguments: str) -> str:
    """Run Prefect's own command as the team does."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("prefect")), "--no-prompt", *arguments],
        env=server.env
        | {
            "PREFECT_API_URL": f"http://127.0.0.1:{server.prefect_port}/api",
            "PREFECT_API_AUTH_STRING": f"wildloop:{server.token}",
            "PREFECT_HOME": str(server.home / "team"),
        },
        cwd=server.workdir,
        capture_output=True,
        text=True,
        timeout=patient(120),
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def deploy(server: Server, name: str, code: str, *options: str) -> None:
    """Put a flow of the team into the project, and deploy it to Wildloop's pool."""
    (server.workdir / f"{name}.py").write_text(code)
    git(server.workdir, "add", "-A")
    git(server.workdir, "commit", "-q", "-m", name)
    prefect(server, "deploy", f"{name}.py:{name}", "-n", "team", "-p", "wildloop", *options)


def begin(server: Server, name: str, **parameters: Any) -> str:
    """Start a flow run of the team's deployment; its id."""
    found = server.prefect.get(f"/deployments/name/{name}/team").json()
    body = {"parameters": parameters}
    answer = server.prefect.post(f"/deployments/{found['id']}/create_flow_run", json=body)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def flow_run(server: Server, id: str) -> dict[str, Any]:
    """As Prefect has it now."""
    return dict(server.prefect.get(f"/flow_runs/{id}").json())


def ended(server: Server, id: str) -> dict[str, Any]:
    """The flow run's state at its end."""
    server.wait_for(lambda: server.is_over(id) or None, f"flow run {id} ends", 120)
    return dict(flow_run(server, id)["state"])


def limit(server: Server, name: str) -> dict[str, Any]:
    """A global concurrency limit, as the UI shows it."""
    return dict(server.prefect.get(f"/v2/concurrency_limits/{name}").json())


def set_limit(server: Server, name: str, slots: int) -> None:
    """As a person does it in the UI."""
    answer = server.prefect.patch(f"/v2/concurrency_limits/{name}", json={"limit": slots})
    assert answer.is_success, answer.text


def host_limit() -> str:
    return f"wildloop-gpu:{socket.gethostname()}"


def test_flow_of_a_team_wraps_a_session_with_hooks_of_its_own(
    shared: Server, tmp_path: Path, project: Path
) -> None:
    script = Script(tmp_path / "script").reply(1, planned()).default(STOP)
    code = documented("a flow that wraps a session").replace(
        'print(f"{flow_run.name}: {state.name}")', f'open("{tmp_path}/told", "a").write(state.name)'
    )
    deploy(shared, "night", code, "--tag", "team")
    id = begin(shared, "night", goal="Raise the score", workdir=str(project), agent=script.agent)
    state = ended(shared, id)
    assert state["type"] == "COMPLETED", state["message"]
    assert (tmp_path / "told").read_text() == "Completed"
    (session,) = shared.get("/wild/v2/sessions")
    assert (session["goal"], session["status"]) == ("Raise the score", "completed")
    called = shared.prefect.post(
        "/flow_runs/filter", json={"flow_runs": {"parent_flow_run_id": {"any_": [id]}}}
    ).json()
    assert [one["state"]["message"][:45] for one in called] == [
        f"session {session['session_id']}:"[:45]
    ]


def test_session_that_fails_fails_the_flow_that_asked_for_it(
    shared: Server, tmp_path: Path
) -> None:
    code = documented("a flow that wraps a session")
    deploy(shared, "night", code)
    state = ended(shared, begin(shared, "night", goal="g", workdir=str(tmp_path / "nowhere")))
    assert (state["type"], "session" in state["message"]) == ("FAILED", True), state


SLEEPER = """
import json, os, time
from pathlib import Path
from prefect import flow

@flow
def sleeper(folder: str, seconds: float):
    told = {"pid": os.getpid(), "team": os.environ.get("TEAM"), "cwd": os.getcwd()}
    Path(folder, "told").write_text(json.dumps(told))
    deadline = time.time() + seconds
    while time.time() < deadline and not Path(folder, "go").exists():
        time.sleep(0.05)
"""


def test_flow_with_slots_counts_outlives_the_worker_and_is_cancelled(
    shared: Server, tmp_path: Path
) -> None:
    variables = {"slots": 2, "env": {"TEAM": "ours"}, "working_dir": str(tmp_path)}
    deploy(shared, "sleeper", SLEEPER)
    found = shared.prefect.get("/deployments/name/sleeper/team").json()
    shared.prefect.patch(f"/deployments/{found['id']}", json={"job_variables": variables})
    first = begin(shared, "sleeper", folder=str(tmp_path), seconds=600)
    shared.wait_for(lambda: (tmp_path / "told").exists() or None, "the team's flow works")
    told = json.loads((tmp_path / "told").read_text())
    assert told["team"] == "ours"
    waiting = shared.run("true")
    assert limit(shared, host_limit())["active_slots"] == 2
    shared.child("wildloop.flows.worker.main").kill()
    shared.wait_for(
        lambda: flow_run(shared, first)["infrastructure_pid"] or None, "it is taken up again"
    )
    assert shared.get(f"/runs/{waiting['id']}")["status"] == "queued"
    (tmp_path / "go").touch()
    assert ended(shared, first)["type"] == "COMPLETED"
    assert shared.ended(waiting["id"])["status"] == "finished"
    (tmp_path / "go").unlink()
    (tmp_path / "told").unlink()
    second = begin(shared, "sleeper", folder=str(tmp_path), seconds=600)
    shared.wait_for(lambda: (tmp_path / "told").exists() or None, "the team's flow works again")
    shared.prefect.post(f"/flow_runs/{second}/set_state", json={"state": {"type": "CANCELLING"}})
    assert ended(shared, second)["type"] == "CANCELLED"
    shared.wait_for(
        lambda: limit(shared, host_limit())["active_slots"] == 0 or None, "its slots are free"
    )


def on_page(server: Server) -> str:
    """What the page tells of the compute."""
    server.http.get(server.post("/wild/v2/page-link")["path"])
    return html.unescape(server.http.get("/page/compute").raise_for_status().text)


def test_limits_lowered_by_people_are_bounds(shared: Server, tmp_path: Path) -> None:
    set_limit(shared, host_limit(), 1)
    command = f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"
    runs = [shared.run(command) for _ in range(2)]
    shared.reaches(runs[0]["id"], "running")
    queue = shared.prefect.get("/work_pools/wildloop/queues/runs").json()
    assert (queue["concurrency_limit"], "set it to 2" in queue["description"]) == (2, True)
    # Raised again, the second begins: so it had waited for the limit alone.
    waiting = f"/runs/{runs[1]['id']}"
    told = f"waits for the limit of '{host_limit()}': 1 of 1 taken"
    shared.wait_for(lambda: shared.get(waiting)["reason"] == told or None, "it says why it waits")
    assert shared.get(waiting)["status"] == "queued"
    assert told in [run["reason"] for run in shared.get("/runs", status="queued")]
    shared.wait_for(lambda: told in on_page(shared) or None, "the page tells the same")
    cluster = shared.get("/cluster")
    lowered = {"name": f"'{host_limit()}'", "limit": 1, "taken": 1, "wanted": 2}
    assert (cluster["limits"], cluster["capacity"]["g"]) == ([lowered], 1)
    set_limit(shared, host_limit(), 2)
    shared.reaches(runs[1]["id"], "running")
    third = shared.run("true")
    runs.append(third)
    names = f"{runs[0]['name']}, {runs[1]['name']}"
    held = f"all 2 slots are held by {names}"
    shared.wait_for(
        lambda: shared.get(f"/runs/{third['id']}")["reason"] == held or None, "it says who holds"
    )
    assert shared.get("/cluster")["limits"] == []
    shared.prefect.patch("/work_pools/wildloop/queues/runs", json={"concurrency_limit": 1})
    (tmp_path / "go").touch()
    for run in runs:
        shared.ended(run["id"])


TEAM = f"""
import socket, time
from pathlib import Path
from prefect import flow, task

@task
def use_a_gpu(folder: str, number: int):
    def train():
        begun = time.time()
        time.sleep(1.0)
        Path(folder, f"team-{{number}}").write_text(f"{{begun}} {{time.time()}}")
{textwrap.indent("{recipe}", "    ")}

@flow
def team(folder: str):
    for one in use_a_gpu.map([folder] * {EACH}, range({EACH})):
        one.wait()
"""


def most_at_once(folder: Path) -> int:
    """How many of the commands worked at one time, by their own clocks."""
    moments: list[tuple[float, int]] = []
    for file in folder.iterdir():
        begun, over = map(float, file.read_text().split())
        moments += [(begun, 1), (over, -1)]
    now = most = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most


def test_thirty_tasks_of_a_team_and_of_wildloop_never_use_more_than_two_slots(
    shared: Server, tmp_path: Path
) -> None:
    shared.prefect.patch("/work_pools/wildloop/queues/runs", json={"concurrency_limit": None})
    recipe = documented("code that takes slots").strip()
    deploy(shared, "team", TEAM.replace("    {recipe}", textwrap.indent(recipe, "    ")))
    times = tmp_path / "times"
    times.mkdir()
    team = begin(shared, "team", folder=str(times))
    command = f"b=$(date +%s.%N); sleep 1; echo $b $(date +%s.%N) > {times}/run-$WILDLOOP_RUN_ID"
    runs = [shared.run(command) for _ in range(EACH)]
    shared.wait_for(lambda: len(list(times.iterdir())) > EACH // 2 or None, "some have ended", 120)
    shared.child("wildloop.flows.worker.main").kill()
    for run in runs:
        assert shared.ended(run["id"], 120)["status"] == "finished"
    assert ended(shared, team)["type"] == "COMPLETED"
    assert len(list(times.iterdir())) == 2 * EACH
    assert 1 <= most_at_once(times) <= SLOTS
    shared.wait_for(
        lambda: limit(shared, host_limit())["active_slots"] == 0 or None, "all slots are free"
    )
