"""The results of the iteration: complete, by configuration, what is new marked."""

from tests.support.pages import model_state
from tests.support.records import made_account, made_record, made_run
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import SessionRecord
from wildloop.flows.prompt.page import page_sections
from wildloop.flows.prompt.results import MOST_TOKENS, NOTHING, results_section
from wildloop.flows.prompt.tokens import token_count
from wildloop.flows.text.log_end import CHARACTERS


def section(runs: list[Run], logs: dict[str, str] | None = None, new: tuple[str, ...] = ()) -> str:
    return results_section(runs, logs or {}, made_account(runs), new=new)


def test_all_runs_of_a_configuration_are_told_and_the_new_ones_marked() -> None:
    runs = [made_run(n, 0.1 * n, parameters={"lr": 0.1, "seed": n}) for n in (1, 2, 3)]
    text = section(runs, new=("id-0002", "id-0003"))
    wanted = (
        "| run-1 and 2 more | lr=0.1 | 1: 0.1 id-0001; 2: 0.2 id-0002 (new); 3: 0.3 id-0003 (new) "
    )
    assert f"{wanted}| 0.2 ± 0.1 (n=3) claimed | baseline |" in text
    assert "3 of 3 runs have ended, 2 of them since the last call." in text


def test_seeds_that_came_in_an_earlier_call_of_the_iteration_still_count() -> None:
    runs = [made_run(n, 0.5, parameters={"lr": 0.1, "seed": n}) for n in (1, 2, 3)]
    calls = [
        made_record(6, run_ids=[run.id for run in runs], told_runs=[]),
        made_record(6, turn=2, told_runs=["id-0001", "id-0002"]),
    ]
    state = model_state(
        runs=runs,
        account=made_account(runs),
        record=SessionRecord(session_id="s", iterations=calls),
    )
    told = page_sections(state, None, 0)["experiment_results"]
    assert "1: 0.5 id-0001; 2: 0.5 id-0002; 3: 0.5 id-0003 (new)" in told
    assert "(n=3)" in told


def test_what_earlier_iterations_have_left_is_told_apart() -> None:
    late, mine = made_run(1, 0.5), made_run(2, 0.6, parameters={"lr": 1})
    calls = [
        made_record(5, run_ids=[late.id], told_runs=[]),
        made_record(6, run_ids=[mine.id], told_runs=[]),
    ]
    state = model_state(
        runs=[late, mine],
        account=made_account([late, mine]),
        record=SessionRecord(session_id="s", iterations=calls),
    )
    told = page_sections(state, None, 0)["experiment_results"]
    before, _, after = told.partition("Of earlier iterations, ended only now:")
    assert "id-0002" in before and "id-0001" not in before
    assert "id-0001" in after and "id-0002" not in after


def test_runs_under_way_and_a_missing_metric_are_told() -> None:
    runs = [
        made_run(1, 0.5, metrics={"loss": 0.5}),
        made_run(2, status=RunStatus.RUNNING, finished_at=None, exit_code=None, error=None),
        made_run(3, 0.5, metrics={}, diverged=["score"]),
    ]
    text = section(runs)
    assert "| no score! loss=0.5 id-0001; running id-0002; diverged" in text
    assert "running id-0002" in text
    assert "diverged (NaN or infinite) id-0003" in text


def test_failed_runs_are_told_by_cause_with_the_last_lines_of_a_log() -> None:
    log = "\n".join(f"line {n} ok" for n in range(1000)) + "\nKeyError: 'lr'\n```\n"
    runs = [made_run(n) for n in (1, 2)] + [made_run(3)]
    logs = {"id-0001": log, "id-0002": log, "id-0003": "killed"}
    text = section(runs, logs, new=("id-0001", "id-0002", "id-0003"))
    assert (
        "run-1 (id-0001), run-2 (id-0002) failed: exit code 1. Cause: KeyError: 'lr'\n```" in text
    )
    assert "line 5 ok" not in text
    assert "'''" in text
    assert "run-3 (id-0003) failed" in text
    assert "failed (exit 1)" in text
    # Told once: the next call of the iteration has them in the table alone.
    assert "KeyError" not in section(runs, logs)


def test_a_dozen_configurations_are_all_there() -> None:
    runs = [made_run(n, n / 1000, parameters={"lr": n, "width": 64 * n}) for n in range(1, 14)]
    text = section(runs, {}, new=tuple(run.id for run in runs))
    assert token_count(text) <= 600
    assert all(run.id[:8] in text for run in runs)
    assert "| lr=13, width=832 |" in text and "lr=1, width=64 0.001 (n=1) (id-0001)" in text
    assert "more configurations" not in text


def test_many_configurations_are_cut_to_the_failed_and_the_best() -> None:
    runs = [made_run(n, n / 1000, parameters={"lr": n}) for n in range(1, 500)]
    runs.append(made_run(500, parameters={"lr": 0.1}))
    text = section(runs, {"id-0500": "x" * 50_000}, new=tuple(run.id for run in runs))
    assert "| lr=495 |" in text
    assert "| lr=1 |" not in text
    assert "| lr=0.1 |" in text
    assert "more configurations, none of them better" in text
    assert token_count(text) < MOST_TOKENS + 200


def test_it_stays_short_whatever_the_runs() -> None:
    runs = [
        made_run(n, name="n" * 200, error="e" * 5000, metrics={"m" * 200: 1.0}) for n in range(60)
    ]
    logs = {run.id: f"Error {'abcdefgh'[n % 8]} " + "z" * CHARACTERS for n, run in enumerate(runs)}
    assert token_count(section(runs, logs, tuple(run.id for run in runs))) < 2 * MOST_TOKENS


def test_without_a_metric_and_without_runs() -> None:
    runs = [made_run(1, 0.5), made_run(2, status=RunStatus.STOPPED)]
    text = results_section(runs, {}, Account(runs, Contract(None)))
    assert "loss=0.5, score=0.5 id-0001; stopped id-0002" in text
    assert section([]) == NOTHING


def test_a_repeat_of_the_same_run_is_pointed_out() -> None:
    old = [made_run(n, 0.5, parameters={"lr": 0.1, "seed": n}) for n in (1, 2)]

    def told(again: Run) -> str:
        return results_section([again], {}, made_account([*old, again]), new={again.id})

    again = made_run(3, 0.5, parameters={"seed": 2, "lr": 0.1})
    assert "- run-3 repeats run-2 (id-0002)" in told(again)
    assert "repeats" not in told(again.model_copy(update={"parent_run_id": "id-0002"}))
    assert "repeats" not in told(again.model_copy(update={"code": "other"}))
