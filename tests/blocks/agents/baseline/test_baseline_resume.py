"""Calls that are killed, repeated, or answered badly: nothing is created twice."""

import subprocess
import threading
from pathlib import Path

import pytest

from tests.blocks.agents.baseline.agent_calls import Caller, write_project
from tests.blocks.agents.baseline.memory_api import Body, MemoryApi
from tests.blocks.agents.baseline.test_baseline_session import curved
from tests.support.pace import patient


def test_killed_while_creating_runs_then_resumed_creates_only_the_missing(
    tmp_path: Path, api: MemoryApi
) -> None:
    caller = Caller(write_project(tmp_path / "toy", budget="runs = 20"), api)
    caller.call("planning")
    caller.work(curved, until="P2-T1")
    assert api.names("p2-broad") == []
    started = threading.Event()
    calls: list[subprocess.Popen[str]] = []

    def kill_at_second(run: Body) -> bool:
        if len(api.names("p2-broad")) < 2:
            return True
        assert started.wait(timeout=patient(30))
        calls[0].kill()
        return False

    api.answering = kill_at_second
    calls.append(caller.start("iteration"))
    started.set()
    calls[0].communicate(timeout=patient(60))
    assert calls[0].returncode == -9
    assert api.names("p2-broad") == ["p2-broad-00", "p2-broad-01"]
    assert "- [ ] [P2-T1]" in caller.tasks_path.read_text()

    api.answering = lambda run: True
    resumed = caller.call("iteration")

    assert resumed.tags.promise == "WAITING"
    broad = api.names("p2-broad")
    assert len(broad) > 2 and len(set(broad)) == len(broad)
    assert len({run["sweep_id"] for run in api.runs if run["name"] in broad}) == 1
    configurations = {str(run["parameters"]) for run in api.runs if run["name"] in broad}
    assert len(configurations) == len(broad)
    again = caller.call("iteration")
    assert again.tags.promise == "WAITING"
    assert api.names("p2-broad") == broad


def test_killed_before_the_stage_was_marked_waits_for_its_runs(toy: Caller) -> None:
    toy.call("planning")
    toy.work(curved, until="P1-T2")
    plan = toy.tasks_path.read_text()
    toy.call("iteration")
    made = toy.api.names()
    toy.tasks_path.write_text(plan)
    again = toy.call("iteration")
    assert again.tags.promise == "WAITING"
    assert toy.api.names() == made
    assert "- [/] [P1-T2]" in toy.tasks_path.read_text()


def test_a_lost_answer_does_not_make_a_run_twice(toy: Caller) -> None:
    toy.call("planning")
    toy.work(curved, until="P1-T2")
    lost: list[str] = []

    def lose_first(run: Body) -> bool:
        lost.append(run["name"])
        return len(lost) > 1

    toy.api.answering = lose_first
    reply = toy.call("iteration")
    assert reply.code == 0, reply.errors
    assert toy.api.names() == ["p1-baseline-00", "p1-baseline-01"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(toy: Caller, status: int) -> None:
    toy.call("planning")
    toy.work(curved, until="P1-T2")
    for request in ("POST /runs", "POST /sweeps/wild", "GET /runs"):
        toy.api.refusals[request] = [status]
    reply = toy.call("iteration")
    assert reply.code == 0, reply.errors
    assert toy.api.names() == ["p1-baseline-00", "p1-baseline-01"]
    assert len(toy.api.sweeps) == 1


def test_a_server_that_is_away_is_waited_for(toy: Caller) -> None:
    toy.call("planning")
    toy.work(curved, until="P1-T2")
    toy.api.refusals["GET /runs"] = [503] * 6
    assert toy.call("iteration").code == 0


def test_a_refusal_in_the_middle_of_a_stage_is_taken_up_again(toy: Caller) -> None:
    toy.call("planning")
    toy.work(curved, until="P1-T2")

    def refuse_next(run: Body) -> bool:
        toy.api.refusals["POST /runs"] = [422]
        return True

    toy.api.answering = refuse_next
    failed = toy.call("iteration")
    assert failed.code == 1
    assert toy.api.names() == ["p1-baseline-00"]
    toy.api.answering = lambda run: True
    assert toy.call("iteration").tags.promise == "WAITING"
    assert toy.api.names() == ["p1-baseline-00", "p1-baseline-01"]


def test_another_sessions_runs_and_files_are_left_alone(toy: Caller) -> None:
    (toy.project / "exp").mkdir()
    toy.call("planning")
    toy.work(curved, until="P2-T2")
    other = Caller(toy.project, toy.api, session="session-2")
    other.call("planning")
    other.work(curved, until="P2-T2")
    mine = [run for run in toy.api.runs if run["chat_session_id"] == toy.session]
    its = [run for run in toy.api.runs if run["chat_session_id"] == "session-2"]
    assert [run["name"] for run in its] == [run["name"] for run in mine]
    assert {run["sweep_id"] for run in its}.isdisjoint(run["sweep_id"] for run in mine)
    broad = [[r["parameters"] for r in runs if "broad" in r["name"]] for runs in (mine, its)]
    assert broad[0] != broad[1], "a second session looks elsewhere"
