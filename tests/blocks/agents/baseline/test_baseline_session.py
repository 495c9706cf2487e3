"""Whole sessions of the baseline agent, from planning to the last reflection."""

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.blocks.agents.baseline.agent_calls import ROOT, Caller, write_project
from tests.blocks.agents.baseline.memory_api import Body, Execute, MemoryApi
from tests.support.pace import patient
from wildloop.flows.metrics import run_metrics
from wildloop.flows.models.run import RunCreate
from wildloop.flows.protocol.plan import TaskStatus
from wildloop.flows.protocol.plan_rules import plan_faults


def curved(run: Body) -> None:
    """A smooth result: best near lr 0.05, wide is better, seeds differ a little."""
    values = run["parameters"]
    distance = abs(values["lr"] / 0.05 - 1) / 20
    run["metrics"] = {"val_accuracy": 0.9 - distance + values["width"] / 1000 + run["seed"] / 1e4}
    run["status"], run["exit_code"] = "finished", 0


def failing_above(limit: float) -> Execute:
    """`curved`, but runs with a larger lr diverge."""

    def execute(run: Body) -> None:
        if run["parameters"]["lr"] <= limit:
            curved(run)
        else:
            run["status"], run["exit_code"] = "failed", 3
            run["error"] = "exit code 3: diverged"

    return execute


def execute_really(run: Body) -> None:
    """Run the command as the launcher does, and read its metrics as Wildloop does."""
    folder = Path(run["workdir"]) / ".wild" / "runs" / run["id"]
    folder.mkdir(parents=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", run["command"]],
        cwd=run["workdir"],
        env=os.environ | {"PATH": path, "WILDLOOP_RUN_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=patient(120),
    )
    run["exit_code"] = done.returncode
    run["status"] = "finished" if done.returncode == 0 else "failed"
    run["error"] = None if done.returncode == 0 else done.stdout.splitlines()[-1]
    run["metrics"] = run_metrics(folder)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_digits_session_beats_its_baseline_by_real_runs(tmp_path: Path, api: MemoryApi) -> None:
    project = tmp_path / "digits"
    shutil.copytree(ROOT / "examples" / "digits", project)
    caller = Caller(project, api)

    planned = caller.call("planning", "## Goal\n\nImprove it\n")
    assert planned.code == 0, planned.errors
    assert planned.tags.plan and not planned.tags.faults
    text = caller.tasks_path.read_text()
    assert plan_faults(caller.plan(), text) == []
    assert (caller.session_dir / "prompt_skill_playbook.md").is_file()

    calls = caller.work(execute_really, parallel=2)

    assert all(not call.tags.faults and call.tags.summary for call in calls)
    done = [task for task in caller.plan().tasks if task.status is TaskStatus.DONE]
    # Where the race is expected to need every run that is left, the search ends early.
    assert {task.id for task in caller.plan().tasks} - {task.id for task in done} <= {"P3-T2"}
    assert all((project / (task.deliverable or "")).is_file() for task in done)
    midpoint, final = (call for call in calls if call.tags.reflection)
    assert midpoint.tags.continue_session is True
    assert final.tags.continue_session is False
    assert "on the baseline's" in (final.tags.reflection or "")
    assert any(" than the baseline's " in memory.text for memory in final.tags.memories)

    assert 24 <= len(api.runs) <= 34
    assert len(set(api.names())) == len(api.names())
    assert {run["status"] for run in api.runs} <= {"finished", "failed"}
    best = max(run["metrics"].get("val_accuracy", 0) for run in api.runs)
    assert best > max(
        run["metrics"]["val_accuracy"] for run in api.runs if "baseline" in run["name"]
    )
    with (caller.experiments / "runs.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == [run["id"] for run in api.runs]


def test_every_run_is_one_tagged_configuration_of_one_sweep_per_stage(toy: Caller) -> None:
    toy.call("planning")
    toy.work(curved)
    for body in toy.api.runs:
        RunCreate.model_validate(
            {name: body[name] for name in body if name in RunCreate.model_fields}
        )
        assert body["chat_session_id"] == toy.session
        assert body["auto_start"] is True
        assert body["workdir"] == str(toy.project)
        flags = dict(word[2:].split("=") for word in shlex.split(body["command"])[2:])
        assert flags == {k: str(v) for k, v in body["parameters"].items()} | {
            "seed": str(body["seed"])
        }
    stages = Counter(run["name"].rpartition("-")[0] for run in toy.api.runs)
    assert len(toy.api.sweeps) == len(stages)
    by_sweep = Counter(run["sweep_id"] for run in toy.api.runs)
    assert sorted(by_sweep.values()) == sorted(stages.values())


def test_budget_of_runs_is_never_exceeded(tmp_path: Path, api: MemoryApi) -> None:
    caller = Caller(write_project(tmp_path / "toy", budget="runs = 8"), api)
    caller.call("planning")
    caller.work(curved)
    assert len(api.runs) <= 8


def test_runs_made_by_others_count_towards_the_budget(toy: Caller) -> None:
    toy.call("planning")
    toy.work(curved, until="P3-T1")
    for number in range(8):
        extra = {"name": f"by-hand-{number}", "command": "x", "parameters": {}, "seed": 0}
        toy.api.answer("POST", "/runs", extra | {"chat_session_id": toy.session})
    toy.api.finish_runs(curved_by_hand)
    before = len(toy.api.runs)
    calls = toy.work(curved)
    assert len(toy.api.runs) == max(before, 12)
    assert any("the budget is 12 runs" in (call.tags.summary or "") for call in calls)
    assert calls[-1].tags.continue_session is False


def curved_by_hand(run: Body) -> None:
    """A run that someone else has made: it tells nothing of the metric."""
    run["status"], run["exit_code"] = "finished", 0


def test_failed_runs_are_told_and_not_counted_as_results(toy: Caller) -> None:
    (toy.project / "wildloop.toml").write_text(
        (toy.project / "wildloop.toml").read_text().replace("lr = 0.5", "lr = 0.02")
    )
    toy.call("planning")
    calls = toy.work(failing_above(0.1))
    failed = [run for run in toy.api.runs if run["status"] == "failed"]
    assert failed, "the broad search reaches above 0.1"
    analysis = (toy.experiments / "analysis.md").read_text()
    failures = analysis.partition("## Failures")[2]
    assert "exit code 3: diverged" in failures
    assert all(run["name"] in failures or "more" in failures for run in failed)
    table = analysis.partition("## Configurations")[2].partition("## Ablation")[0]
    assert not any(run["name"] in table for run in failed)
    # As a point, or as the region that they lie in, which tells more.
    assert any(
        memory.tag == "gotcha" or " failed; of the others " in memory.text
        for memory in calls[-1].tags.memories
    )


def test_nothing_but_failures_ends_at_the_midpoint(toy: Caller) -> None:
    toy.call("planning")
    toy.work(failing_above(0.0), until="P3-T1")
    reply = toy.call("reflection")
    assert reply.tags.continue_session is False
    assert "diverged" in (reply.tags.reflection or "")


def test_a_baseline_that_nothing_beats_is_not_confirmed_or_ablated(toy: Caller) -> None:
    def flat(run: Body) -> None:
        base = run["parameters"]["lr"] == 0.5 and run["parameters"]["width"] == 16
        run["metrics"] = {"val_accuracy": 0.9 if base else 0.5}
        run["status"], run["exit_code"] = "finished", 0

    toy.call("planning")
    calls = toy.work(flat)
    cancelled = [t.id for t in toy.plan().tasks if t.status is TaskStatus.CANCELLED]
    assert cancelled == ["P4-T1", "P4-T2"]
    assert toy.api.names("p4-") == []
    assert calls[-1].tags.continue_session is False
    assert "above 0.97: undecided" in (calls[-1].tags.reflection or "")


def test_guided_search_asks_in_batches_of_the_slots(toy: Caller) -> None:
    toy.api.slots = 3
    path = toy.project / "wildloop.toml"
    path.write_text(path.read_text().replace("runs = 12", "runs = 40"))
    toy.call("planning")
    toy.work(curved, until="P3-T1")
    first = toy.call("iteration")
    assert first.tags.promise == "WAITING"
    assert len(toy.api.names("p3-near")) == 3
    waiting = toy.call("iteration")
    assert waiting.tags.promise == "WAITING"
    assert len(toy.api.names("p3-near")) == 3


def configurations(api: MemoryApi, session: str, prefix: str) -> list[Body]:
    """What the runs of a stage of a session are given."""
    mine = [run for run in api.runs if run["chat_session_id"] == session]
    return [run["parameters"] for run in mine if run["name"].startswith(prefix)]


def night_before(toy: Caller) -> Body:
    """A whole session; what it has found best."""
    toy.call("planning")
    toy.work(curved)
    ended = [run for run in toy.api.runs if run["name"] != "p1-baseline-00"]
    found: Body = max(ended, key=lambda run: run["metrics"]["val_accuracy"])["parameters"]
    return found


def second_night(toy: Caller) -> Caller:
    """Another session of the same project, up to the end of its broad start."""
    second = Caller(toy.project, toy.api, session="session-2")
    second.call("planning")
    second.work(curved, until="P2-T2")
    return second


def test_second_session_of_the_same_code_begins_with_what_the_first_found_best(
    toy: Caller,
) -> None:
    best = night_before(toy)
    second = second_night(toy)
    first = configurations(toy.api, "session-2", "p2-")[0]
    assert (first["lr"], first["width"]) == (best["lr"], best["width"])
    text = (second.experiments / "broad.md").read_text()
    assert "the first 1 of these runs repeat it" in text


def test_what_other_code_found_is_not_begun_with(toy: Caller) -> None:
    best = night_before(toy)
    toy.api.code = "other code"
    second_night(toy)
    assert (best["lr"], best["width"]) not in {
        (one["lr"], one["width"]) for one in configurations(toy.api, "session-2", "p2-")
    }


def test_what_lies_outside_the_space_is_not_begun_with(toy: Caller) -> None:
    best = night_before(toy)
    path = toy.project / "wildloop.toml"
    path.write_text(path.read_text().replace("[search.lr]\n", "[search.lr]\n# narrower\n"))
    lines = path.read_text().splitlines()
    path.write_text(
        "\n".join(
            f"high = {best['lr'] * 0.9}" if line.startswith("high") else line for line in lines
        )
    )
    second_night(toy)
    assert all(one["lr"] < best["lr"] for one in configurations(toy.api, "session-2", "p2-"))


def test_deliverables_go_to_exp_where_the_project_has_it(toy: Caller) -> None:
    (toy.project / "exp").mkdir()
    toy.call("planning")
    toy.call("iteration")
    assert (toy.project / "exp" / toy.session / "check.md").is_file()
    assert not toy.experiments.exists()


def test_a_task_that_a_person_added_is_cancelled_not_claimed(toy: Caller) -> None:
    toy.call("planning")
    text = toy.tasks_path.read_text()
    added = "- [ ] [P1-T0] Write a poem | deliverable: poem.md | done-when: it rhymes"
    toy.tasks_path.write_text(text.replace("- [ ] [P1-T1]", f"{added}\n- [ ] [P1-T1]"))
    reply = toy.call("iteration")
    assert "Write a poem" in (reply.tags.summary or "")
    assert "- [-] [P1-T0]" in toy.tasks_path.read_text()
    assert not (toy.project / "poem.md").exists()


def test_a_deliverable_outside_the_project_is_not_written(toy: Caller) -> None:
    toy.call("planning")
    text = toy.tasks_path.read_text()
    outside = toy.project.parent / "outside.md"
    old = f"deliverable: .wild/experiments/{toy.session}/check.md"
    assert old in text
    toy.tasks_path.write_text(text.replace(old, "deliverable: ../outside.md"))
    assert toy.call("iteration").code == 0
    assert not outside.exists()
    assert (toy.experiments / "P1-T1.md").is_file()


def test_the_ledger_of_each_stage_names_its_runs(toy: Caller) -> None:
    toy.call("planning")
    toy.work(curved, until="P2-T2")
    ledger = json.loads((toy.experiments / "p2-broad.json").read_text())
    assert [trial["name"] for trial in ledger["trials"]] == toy.api.names("p2-broad")
