"""Evolutionary sweeps inside real sessions, asked for by a scripted agent."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.script import DONE, STOP, Script, good_plan, planned
from tests.support.server import Server

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
    plan = script.folder / "done-plan.md"
    plan.write_text(good_plan("x"), encoding="utf-8")
    script.reply(1, planned()).reply(2, reply)
    script.shell(3, f'cp "{plan}" "$WILDLOOP_TASKS_PATH"\ncat <<END\n{DONE}END\n')
    return script.default(STOP)


def started(project: Path) -> list[str]:
    """The parameters of every start of the script."""
    path = project / "starts.txt"
    return path.read_text().splitlines() if path.exists() else []


def test_sweep_runs_its_trials_and_tells_the_best(
    server: Server, project: Path, script: Script
) -> None:
    scripted(project, script, sweep())
    session_id = server.start(project, script.agent, evo_sweep_enabled=True)
    session = server.session_ended(session_id, 240)
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
