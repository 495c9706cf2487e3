"""What a session has spent, and the limits that end it."""

import math
from typing import Any

import pytest

from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_options import Budget, SessionSpec
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.models.spending import CallSoFar, Spending
from wildloop.flows.spending import (
    elapsed_seconds,
    gpu_seconds_left,
    hours_end_at,
    is_overdrawn,
    reached_limit,
    refusal,
    spending,
    spent_bound,
)

START = 1_000_000.0


def record(**fields: Any) -> SessionRecord:
    return SessionRecord.model_validate({"session_id": "s", "started_at": START, **fields})


def run(status: RunStatus = RunStatus.FINISHED, **fields: Any) -> Run:
    values = {
        "id": "r",
        "name": "r",
        "command": "true",
        "workdir": "/w",
        "status": status,
        "created_at": START,
        "run_dir": "/w/r",
        "gpus_requested": 1,
    }
    return Run.model_validate(values | fields)


def step(index: int, **fields: Any) -> IterationRecord:
    return IterationRecord.model_validate({"index": index, "started_at": START, **fields})


def test_spending_is_the_sum_of_calls_and_runs() -> None:
    calls = [step(0, cost_usd=0.5), step(1), step(2, cost_usd=0.25, cost_is_estimate=True)]
    runs = [
        run(started_at=START, finished_at=START + 3600, gpus_requested=4, gpus=list("0123")),
        run(RunStatus.RUNNING, started_at=START + 3600, gpus_requested=2),
        run(RunStatus.QUEUED),
        run(started_at=START, finished_at=START + 7200, gpus_requested=0, cpu_seconds=900),
    ]
    used = spending(record(iterations=calls), runs, START + 7200)
    assert used == Spending(
        hours=2.0,
        cost_usd=0.75,
        cost_is_estimate=True,
        gpu_hours=6.0,
        core_hours=1.25,
        runs=4,
    )


def test_what_the_call_under_way_has_cost_so_far_counts() -> None:
    so_far = CallSoFar(began_at=START, cost_usd=0.5)
    assert spending(record(call=so_far), [], START).cost_usd == 0.5
    ended = step(1, cost_usd=0.75)
    assert spending(record(call=so_far), [], START, under_way=ended).cost_usd == 0.75


def test_pauses_do_not_count() -> None:
    paused = record(paused_seconds=600.0)
    assert elapsed_seconds(paused, START + 3600) == 3000
    assert hours_end_at(Budget(hours=1), paused) == START + 4200
    still = record(paused_at=START + 100)
    assert elapsed_seconds(still, START + 9999) == 100
    assert elapsed_seconds(SessionRecord(session_id="s"), START) == 0


def test_a_session_of_before_begins_with_its_first_call() -> None:
    old = SessionRecord(session_id="s", iterations=[step(0)])
    assert hours_end_at(Budget(hours=2), old) == START + 7200
    assert hours_end_at(Budget(), old) is None


@pytest.mark.parametrize(
    ("used", "name"),
    [
        (Spending(), None),
        (Spending(hours=1.99, cost_usd=0.99, gpu_hours=2.99, runs=4), None),
        (Spending(hours=2), "hours"),
        (Spending(cost_usd=1.5), "cost_usd"),
        (Spending(gpu_hours=3), "gpu_hours"),
        (Spending(hours=9, cost_usd=9), "hours"),
    ],
)
def test_first_bound_that_is_used_up_is_named(used: Spending, name: str | None) -> None:
    limit = spent_bound(Budget(hours=2, cost_usd=1, gpu_hours=3, runs=4), used)
    assert (limit.name if limit else None) == name
    if limit is not None:
        assert limit.text.startswith(f"budget: {name} ")


@pytest.mark.parametrize(
    ("runs", "new", "is_refused"),
    [(0, 3, False), (0, 4, True), (2, 1, False), (2, 2, True), (3, 1, True), (3, 0, False)],
)
def test_runs_beyond_the_bound_are_refused(runs: int, new: int, is_refused: bool) -> None:
    limit = refusal(Budget(runs=3), Spending(runs=runs), new)
    assert (limit is not None) == is_refused


def test_start_is_refused_once_time_or_money_is_used_up() -> None:
    assert refusal(Budget(gpu_hours=1, runs=9), Spending(gpu_hours=1.0, runs=1), 0) is not None
    assert refusal(Budget(cost_usd=1), Spending(runs=99), 9) is None


def test_gpu_hours_may_be_overdrawn_by_a_tenth() -> None:
    assert not is_overdrawn(Budget(gpu_hours=10), Spending(gpu_hours=10.9))
    assert is_overdrawn(Budget(gpu_hours=10), Spending(gpu_hours=11.1))
    assert not is_overdrawn(Budget(), Spending(gpu_hours=11.1))


def test_gpu_hours_left_go_by_what_runs_now() -> None:
    running = run(RunStatus.RUNNING, started_at=START, gpus_requested=4)
    ended = run(started_at=START, finished_at=START + 9, gpus_requested=8)
    used = Spending(gpu_hours=1.0)
    assert gpu_seconds_left(3.0, used, [running, ended]) == 1800
    assert gpu_seconds_left(3.0, used, [ended]) == math.inf
    assert gpu_seconds_left(1.0, used, [running]) == 0


def limit_of(position: SessionRecord, runs: list[Run], **spec: Any) -> str | None:
    whole = SessionSpec.model_validate({"goal": "g", "workdir": "/w", **spec})
    found = reached_limit(whole, position, runs, spending(position, runs, START))
    return found.name if found else None


def test_iterations_end_only_after_their_last_turn() -> None:
    position = record(iterations=[step(0, kind="planning"), step(1), step(2)])
    assert limit_of(position, [], max_iterations=3) is None
    assert limit_of(position, [], max_iterations=2) == "max_iterations"
    position.awaiting_turn = True
    assert limit_of(position, [], max_iterations=2) is None


def test_calls_that_create_ever_new_runs_end_their_iteration() -> None:
    waits = [step(2, turn=number, run_ids=["a"]) for number in range(1, 9)]
    position = record(iterations=[step(0, kind="planning"), *waits[:7], step(2)])
    position.awaiting_turn = True
    # Calls that only wait cost nothing.
    assert limit_of(position, [], max_iterations=2) is None
    assert limit_of(position, [], max_iterations=2, max_calls_per_iteration=7) == "max_iterations"
    position.iterations = waits
    assert limit_of(position, [], max_iterations=2) == "max_iterations"
    assert limit_of(position, [], max_iterations=3) is None


@pytest.mark.parametrize(
    ("status", "finished", "ends"),
    [
        (RunStatus.RUNNING, None, False),
        (RunStatus.QUEUED, None, False),
        (RunStatus.READY, None, False),
        (RunStatus.FINISHED, START + 50, False),
        (RunStatus.FINISHED, START - 50, True),
        (RunStatus.FAILED, START - 50, True),
    ],
)
def test_bound_of_runs_ends_the_session_when_all_results_were_told(
    status: RunStatus, finished: float | None, ends: bool
) -> None:
    position = record(iterations=[step(0, kind="planning"), step(1)])
    runs = [run(status, finished_at=finished)]
    found = limit_of(position, runs, budget={"runs": 1})
    assert found == ("runs" if ends else None)
    assert limit_of(position, runs, budget={"runs": 2}) is None
