"""Evolutionary sweeps inside real sessions, asked for by a scripted agent."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import git
from tests.support.script import DONE, STOP, Script, planned
from tests.support.server import Server, wait_for

pytestmark = pytest.mark.e2e

TRAIN = """\
import json, os, sys, time
given = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:])
x, wait = float(given["x"]), given.get("until")
with open(os.path.join(os.path.dirname(__file__), "starts.txt"), "a") as file:
    file.write(json.dumps(given, sort_keys=True) + "\\n")
while wait and not os.path.exists(wait):
    time.sleep(0.1)
with open(os.path.join(os.environ["WILDLOOP_RUN_DIR"], "metrics.jsonl"), "a") as file:
    file.write(json.dumps({"fitness": -((x - 3.0) ** 2)}) + "\\n")
"""
SPACE = {"x": {"low": -10.0, "high": 10.0}}


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script")


def sweep(**fields: Any) -> str:
    """A reply that asks for a sweep of 4 x 2 trials."""
    spec = {
        "target_script": "train.py",
        "fitness_metric": "fitness",
        "search_space": SPACE,
        "population_size": 4,
        "generations": 2,
        "sweep_name": "parabola",
        **fields,
    }
    return f"<summary>a sweep</summary>\n<evo_sweep>\n{json.dumps(spec)}\n</evo_sweep>\n"


def scripted(project: Path, script: Script, reply: str) -> Script:
    """Plans, answers with `reply`, then closes every task."""
    (project / "train.py").write_text(TRAIN)
    script.reply(1, planned()).reply(2, reply)
    script.finish(3)
    return script.default(STOP)


def started(project: Path) -> list[str]:
    """The parameters of every start of the script."""
    path = project / "starts.txt"
    if path.exists():
        return path.read_text().splitlines()
    # At its end a session leaves what lies there on its branch.
    branches = git(project, "for-each-ref", "--format=%(refname)", "refs/heads/wild").split()
    kept = [one for one in branches if path.name in git(project, "ls-tree", "--name-only", one)]
    return git(project, "show", f"{kept[0]}:{path.name}").splitlines() if kept else []


def test_sweep_runs_its_trials_and_tells_the_best(
    server: Server, project: Path, script: Script
) -> None:
    scripted(project, script, sweep())
    session_id = server.start(project, script.agent, evo_sweep_enabled=True)
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    found = server.get(f"/wild/v2/evo-sweep/{session_id}")
    assert (found["status"], found["state"]["done"]) == ("completed", True)
    trials = found["state"]["trials"]
    assert [one["number"] for one in trials] == list(range(8))
    assert {one["generation"] for one in trials} == {0, 1}
    for one in trials:
        assert one["status"] == "finished"
        assert one["value"] == pytest.approx(-((one["parameters"]["x"] - 3) ** 2))
    best = max(trials, key=lambda one: one["value"])
    assert found["state"]["best"] == best
    assert len(started(project)) == 8
    runs = server.get("/runs", chat_session_id=session_id)
    assert {run["id"] for run in runs} == {one["run_id"] for one in trials}
    prompt = script.prompt(3)
    assert f"(run {best['run_id']})" in prompt
    assert "All 8 trials have ended" in prompt
    assert {Path(path).name for path in found["plots"]} >= {"history.png"}
    assert all(Path(path).is_file() for path in found["plots"])
    listed = {one["id"]: one for one in server.get("/sweeps")}[found["sweep_id"]]
    assert (listed["name"], listed["status"]) == ("parabola", "completed")
    assert listed["best"]["run_id"] == best["run_id"]
    asking = session["history"][1]
    assert set(asking["run_ids"]) == {one["run_id"] for one in trials}


def waiting_sweep(script: Script, **fields: Any) -> str:
    """A sweep whose trials wait for the file `go`."""
    return sweep(search_space=SPACE | {"until": [str(script.folder / "go")]}, **fields)


def test_stop_ends_the_sweep_and_its_waiting_runs(
    server: Server, project: Path, script: Script
) -> None:
    scripted(project, script, waiting_sweep(script) + DONE)
    session_id = server.start(project, script.agent, evo_sweep_enabled=True)
    assert server.http.get(f"/wild/v2/evo-sweep/{session_id}").status_code == 404
    assert server.http.get("/wild/v2/evo-sweep/nothing").status_code == 404
    server.wait_for(lambda: len(started(project)) == 2, "two trials run")
    stopped = server.post(f"/wild/v2/evo-sweep/{session_id}/stop")
    assert stopped["session_id"] == session_id
    server.wait_for(
        lambda: server.get(f"/wild/v2/evo-sweep/{session_id}")["status"] == "stopped",
        "the sweep is stopped",
    )
    again = server.http.post(f"/wild/v2/evo-sweep/{session_id}/stop")
    assert again.status_code == 409
    bad = server.http.post(f"/wild/v2/evo-sweep/{session_id}/stop", json={"runs": "kill"})
    assert bad.status_code == 422
    (script.folder / "go").touch()
    session = server.session_ended(session_id)
    assert session["status"] == "completed"
    assert "is stopped" in script.prompt(3)
    assert "DONE is not believed: sweep 'parabola' is under way" in script.prompt(3)
    runs = server.get("/runs", chat_session_id=session_id)
    assert sorted(run["status"] for run in runs) == ["finished", "finished", "stopped"]
    found = server.get(f"/wild/v2/evo-sweep/{session_id}")
    assert (found["status"], len(found["state"]["trials"])) == ("stopped", 3)
    assert len(started(project)) == 2


def test_steer_wakes_the_agent_beside_the_sweep_and_the_session_ends_it(
    server: Server, project: Path, script: Script
) -> None:
    scripted(project, script, waiting_sweep(script))
    (script.folder / "3.sh").unlink()
    script.reply(3, sweep()).shell(4, "sleep 900")
    session_id = server.start(project, script.agent, evo_sweep_enabled=True)
    server.wait_for(lambda: len(started(project)) == 2, "two trials run")
    server.post("/wild/v2/steer", {"context": "Look at x below 4", "session_id": session_id})
    server.wait_for(lambda: script.calls() == 4, "the agent is called twice more")
    assert "Look at x below 4" in script.prompt(3)
    assert "is running: 3 of 8 trials asked" in script.prompt(3)
    assert "the sweep 'parabola' is still under way" in script.prompt(4)
    server.post("/wild/v2/stop", {"session_id": session_id, "runs": "stop"})
    assert server.session_ended(session_id)["status"] == "stopped"
    found = server.get(f"/wild/v2/evo-sweep/{session_id}")
    assert (found["status"], len(found["state"]["trials"])) == ("stopped", 3)
    runs = server.get("/runs", chat_session_id=session_id)
    assert [run["status"] for run in runs] == ["stopped"] * 3


def test_faults_of_the_block_are_told_and_no_run_is_created(
    server: Server, project: Path, script: Script
) -> None:
    scripted(project, script, "<summary>s</summary><evo_sweep>{'x': 1}</evo_sweep>")
    (script.folder / "3.sh").unlink()
    script.reply(3, sweep(target_script="missing.py", search_space={"x": [1]}))
    script.reply(4, sweep(gpus=99))
    session_id = server.start(project, script.agent, evo_sweep_enabled=True, max_iterations=4)
    server.session_ended(session_id)
    assert "<evo_sweep> is not valid JSON" in script.prompt(3)
    assert "there is no 'missing.py'" in script.prompt(4)
    assert "None is under way" in script.prompt(4)
    assert "gpus: 99 are asked for" in script.prompt(5)
    assert server.get(f"/wild/v2/evo-sweep/{session_id}")["status"] == "failed"
    assert server.get("/runs", chat_session_id=session_id) == []


def test_sweep_that_is_not_enabled_is_a_fault(
    server: Server, project: Path, script: Script
) -> None:
    scripted(project, script, sweep())
    session_id = server.start(project, script.agent, max_iterations=2)
    server.session_ended(session_id)
    assert "<evo_sweep> is not enabled" in script.prompt(3)
    assert "population_size" not in script.prompt(3)
    assert server.get("/runs", chat_session_id=session_id) == []


def test_killed_worker_goes_on_with_the_sweep_and_runs_no_trial_twice(
    rough_server: Server, project: Path, script: Script
) -> None:
    server, log = rough_server, rough_server.tail("worker")
    scripted(project, script, waiting_sweep(script))
    session_id = server.start(project, script.agent, evo_sweep_enabled=True)
    server.wait_for(lambda: len(started(project)) == 1, "a trial runs")
    server.child("wildloop.flows.worker.main").kill()
    wait_for(lambda: "adopting" in log.text(), "the session is adopted")
    (script.folder / "go").touch()
    server.wait_for(lambda: len(started(project)) >= 4, "the sweep goes on")
    server.child("wildloop.flows.worker.main").kill()
    session = server.session_ended(session_id)
    assert (session["status"], session["error"]) == ("completed", None)
    found = server.get(f"/wild/v2/evo-sweep/{session_id}")
    assert (found["status"], len(found["state"]["trials"])) == ("completed", 8)
    assert {one["status"] for one in found["state"]["trials"]} == {"finished"}
    assert len(started(project)) == len(set(started(project))) == 8
    assert len(server.get("/runs", chat_session_id=session_id)) == 8
    assert "All 8 trials have ended" in script.prompt(3)
    driven = server.prefect.post(
        "/flow_runs/filter",
        json={"flow_runs": {"tags": {"all_": [f"session:{session_id}"]}, "name": {"like_": "evo"}}},
    ).json()
    assert {one["id"]: one["state"]["type"] for one in driven} == {
        found["flow_run_id"]: "COMPLETED"
    }


@pytest.mark.long
def test_paused_session_takes_its_sweep_up_again_also_after_a_restart(
    rough_server: Server, project: Path, script: Script
) -> None:
    server = rough_server
    scripted(project, script, waiting_sweep(script))
    session_id = server.start(project, script.agent, evo_sweep_enabled=True)
    server.wait_for(lambda: len(started(project)) == 1, "a trial runs")
    server.post("/wild/v2/pause", {"session_id": session_id})
    server.wait_for(lambda: server.session(session_id)["status"] == "paused", "paused")
    assert server.get(f"/wild/v2/evo-sweep/{session_id}")["status"] == "running"
    server.post("/wild/v2/resume", {"session_id": session_id})
    server.wait_for(lambda: server.session(session_id)["status"] == "running", "it goes on")
    assert server.stop() == 0
    server.launch()
    (script.folder / "go").touch()
    assert server.session_ended(session_id)["status"] == "completed"
    found = server.get(f"/wild/v2/evo-sweep/{session_id}")
    assert (found["status"], len(found["state"]["trials"])) == ("completed", 8)
    assert len(started(project)) == len(set(started(project))) == 8
    assert len(server.get("/runs", chat_session_id=session_id)) == 8
