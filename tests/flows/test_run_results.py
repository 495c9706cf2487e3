"""The results block of the next prompt."""

from flows.log_end import CHARACTERS
from flows.models.run import RunStatus
from flows.project import MetricConfig
from flows.run_results import NOTHING, RESULTS_LIMIT, WHERE, results_section
from tests.support.records import made_record, made_run

METRIC = MetricConfig(name="score")


def test_a_row_has_status_exit_code_duration_and_the_primary_metric_first() -> None:
    text = results_section([made_run(1, 0.75)], {}, METRIC)
    assert "| run-1 | id-0001 | finished | 0 | 2.0 | score=0.75, loss=0.5 |" in text
    assert text.endswith(WHERE)


def test_a_finished_run_without_the_primary_metric_is_pointed_out() -> None:
    run = made_run(1, 0.5, metrics={"loss": 0.5})
    assert "| no score! loss=0.5 |" in results_section([run], {}, METRIC)


def test_failed_runs_are_told_by_cause_with_the_end_of_a_log() -> None:
    log = "\n".join(f"line {n} ok" for n in range(1000)) + "\nKeyError: 'lr'\n```\n"
    runs = [made_run(n) for n in (1, 2)] + [made_run(3)]
    text = results_section(runs, {"id-0001": log, "id-0002": log, "id-0003": "killed"}, METRIC)
    assert text.count("KeyError: 'lr'") == 1
    assert "run-1, run-2 failed: exit code 1 (`GET /runs/id-0002/logs`)\n```\n" in text
    assert "line 5 ok" not in text
    assert "'''" in text
    assert "run-3 failed" in text


def test_seeds_are_grouped() -> None:
    runs = [made_run(n, 0.1 * n, parameters={"lr": 0.1, "seed": n}) for n in (1, 2, 3)]
    assert "- lr=0.1: score 0.2 ± 0.1 (n=3)" in results_section(runs, {}, METRIC)
    assert "Over seeds" not in results_section(runs[:1], {}, METRIC)


def test_failed_ideas_are_listed_until_they_work() -> None:
    old = [made_run(n, parameters={"lr": 9.0, "seed": n}) for n in (1, 2)]
    fresh = [made_run(5, 0.5)]
    text = results_section(fresh, {}, METRIC, [*old, *fresh])
    assert "do not try these again as they were:\n- lr=9: exit code 1 (2 of 2 runs)" in text
    worked = made_run(3, 0.1, parameters={"lr": 9.0, "seed": 3})
    assert "do not try" not in results_section(fresh, {}, METRIC, [*old, worked, *fresh])
    assert results_section([], {}, METRIC, old).startswith(NOTHING)
    assert "lr=9" in results_section([], {}, METRIC, old)


def test_many_runs_are_cut_to_the_failed_and_the_best() -> None:
    runs = [made_run(n, n / 1000) for n in range(1, 500)] + [made_run(500)]
    text = results_section(runs, {"id-0500": "x" * 50_000}, METRIC, runs)
    assert "| run-499 |" in text
    assert "| run-1 |" not in text
    assert "| run-500 |" in text
    assert "476 more runs have ended" in text
    assert len(text) < RESULTS_LIMIT + len(WHERE) + 50


def test_it_stays_short_whatever_the_runs() -> None:
    runs = [
        made_run(n, name="n" * 200, error="e" * 5000, metrics={"m" * 200: 1.0}) for n in range(60)
    ]
    logs = {run.id: f"Error {'abcdefgh'[n % 8]} " + "z" * CHARACTERS for n, run in enumerate(runs)}
    assert len(results_section(runs, logs, METRIC, runs)) < 3 * RESULTS_LIMIT


def test_without_a_metric_and_without_logs() -> None:
    text = results_section([made_run(1, 0.5), made_run(2, status=RunStatus.STOPPED)], {})
    assert "| run-2 | id-0002 | stopped | 1 | 2.0 | - |" in text


def test_a_repeat_of_the_same_run_is_pointed_out() -> None:
    old = [made_run(n, 0.5, parameters={"lr": 0.1, "seed": n}) for n in (1, 2)]
    again = made_run(3, 0.5, parameters={"seed": 2, "lr": 0.1})
    text = results_section([again], {}, METRIC, [*old, again])
    assert "- run-3 repeats run-2 (id-0002)" in text
    rerun = made_run(3, 0.5, parameters={"seed": 2, "lr": 0.1}, parent_run_id="id-0002")
    assert "repeats" not in results_section([rerun], {}, METRIC, [*old, rerun])
    assert "repeats" not in results_section([old[1]], {}, METRIC, old)
    changed = [made_record(2, "data", started_at=2.5)]
    assert "repeats" not in results_section([again], {}, METRIC, [*old, again], changed)
