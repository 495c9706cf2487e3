"""Anything is killed, again and again: each run has one true outcome, and ran once."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.support.chaos import (
    MODULES,
    Killer,
    create_surely,
    most_at_once,
    read_run,
    wait_until_all_ended,
    witnesses,
)
from tests.support.project import make_project
from tests.support.server import start_server, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RUNS, SLOTS = 60, 3


@pytest.mark.parametrize("seed", [1, 2])
def test_runs_survive_random_kills(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    made = witnesses(tmp_path / "witnesses", RUNS, chance)
    server = start_server(tmp_path / "home", make_project(tmp_path / "project"), slots=SLOTS)
    killer = Killer(server, chance)
    try:
        with killer.at_work():
            ids = [
                create_surely(server, f"run-{number:03d}", witness)
                for number, witness in enumerate(made)
            ]
            assert len(set(ids)) == RUNS
            ended = wait_until_all_ended(server, ids, 600)
        wait_for(lambda: read_run(server, ids[0]), "all answer again", 120)
        listed = server.get("/runs", limit=1000)
        health = server.get("/wild/v2/system-health")
    finally:
        server.stop()

    assert set(killer.kills) == set(MODULES), Counter(killer.kills)
    outcomes = {run["id"]: (run["status"], run["exit_code"]) for run in listed}
    assert outcomes == {id: (run["status"], run["exit_code"]) for id, run in ended.items()}
    assert (health["total"], health["running"], health["queued"]) == (RUNS, 0, 0)
    intervals = []
    for run_id, witness in zip(ids, made, strict=True):
        run = ended[run_id]
        assert (witness.times("starts"), len(witness.times("ends"))) == (
            witness.times("starts")[:1],
            1,
        ), run
        assert run["exit_code"] == witness.exit_code, run
        assert run["status"] == ("failed" if witness.exit_code else "finished"), run
        assert (Path(str(run["run_dir"])) / "run.log").read_text() == "line 1\nline 2\n"
        intervals.append((witness.times("starts")[0], witness.times("ends")[0]))
    assert most_at_once(intervals) <= SLOTS
