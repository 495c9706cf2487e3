"""What the baseline agent concludes from runs."""

from typing import Any

import pytest

from blocks.agents.baseline.analysis import (
    baseline_group,
    best_group,
    effects,
    failures,
    gain,
    groups,
    holds,
    target_of,
)
from blocks.agents.baseline.api import RunView
from blocks.agents.baseline.config import ProjectFile
from blocks.agents.baseline.stages import promising
from blocks.agents.baseline.writing import (
    ablation_lines,
    goal_verdict,
    headline,
    lessons,
    runs_table,
)


def project_of(direction: str = "max") -> ProjectFile:
    return ProjectFile.model_validate(
        {
            "train": {"command": "python train.py"},
            "metric": {"name": "score", "direction": direction},
            "baseline": {"lr": 0.5, "width": 16},
            "search": {"lr": {"low": 0.001, "high": 1.0}, "width": {"values": [16, 32]}},
        }
    )


def run_of(
    name: str, score: float | None, lr: float = 0.5, width: int = 16, seed: int = 0, **more: Any
) -> RunView:
    body = {
        "id": f"id-{name}",
        "name": name,
        "status": "finished",
        "parameters": {"lr": lr, "width": width},
        "seed": seed,
        "created_at": float(len(name)),
        "metrics": {} if score is None else {"score": score},
    }
    return RunView.model_validate(body | more)


BASELINE = [run_of(f"base-{seed}", 0.90 + seed / 100, seed=seed) for seed in range(3)]


def test_a_lucky_single_seed_does_not_outrank_a_mean_over_seeds() -> None:
    runs = [
        *BASELINE,
        run_of("lucky", 0.99, lr=0.9),
        *[run_of(f"sure-{seed}", 0.97, lr=0.1, seed=seed) for seed in range(3)],
    ]
    best = best_group(runs, project_of())
    assert best is not None and best.configuration["lr"] == 0.1


def test_a_gain_within_the_spread_does_not_hold() -> None:
    near = [run_of(f"near-{seed}", 0.915 + seed / 1000, lr=0.1, seed=seed) for seed in range(3)]
    far = [run_of(f"far-{seed}", 0.95 + seed / 1000, lr=0.1, seed=seed) for seed in range(3)]
    project = project_of()
    for found, expected, word in ((near, False, "within"), (far, True, "more than")):
        runs = [*BASELINE, *found]
        best, base = best_group(runs, project), baseline_group(runs, project)
        assert best is not None and base is not None
        assert holds(best, base, project) is expected
        assert f"{word} the spread over seeds" in headline(runs, project)


def test_a_single_seed_is_not_confirmed() -> None:
    runs = [*BASELINE, run_of("one", 0.99, lr=0.1)]
    best, base = best_group(runs, project_of()), baseline_group(runs, project_of())
    assert best is not None and base is not None
    assert holds(best, base, project_of()) is None
    assert "not confirmed over seeds" in headline(runs, project_of())


def test_lower_is_better_where_the_metric_is_a_loss() -> None:
    project = project_of("min")
    runs = [*BASELINE, run_of("low", 0.5, lr=0.1), run_of("high", 2.0, lr=0.2)]
    best, base = best_group(runs, project), baseline_group(runs, project)
    assert best is not None and base is not None
    assert best.configuration["lr"] == 0.1
    assert gain(best, base, project) == pytest.approx(0.41)
    assert promising(runs, project_of("max")).configuration["lr"] == 0.2  # type: ignore[union-attr]


def test_of_a_seed_that_was_run_twice_the_latest_counts() -> None:
    again = run_of("base-0", 0.5, created_at=999.0, id="again")
    (group,) = groups([again, *BASELINE], project_of())
    assert group.by_seed == {0: 0.5, 1: 0.91, 2: 0.92}


def test_runs_without_result_are_failures_by_cause() -> None:
    found = failures(
        [
            run_of("a", None),
            run_of("b", None, status="failed", error="exit code 3\nboom", exit_code=3),
            run_of("c", 0.9, status="failed", error="exit code 3\nboom", exit_code=3),
            run_of("d", None, status="stopped"),
            run_of("e", None, status="failed", exit_code=9),
            run_of("f", None, status="running"),
            run_of("g", None, metrics={"score": None}),
            run_of("h", 0.9),
        ],
        project_of(),
    )
    assert {cause: [run.name for run in runs] for cause, runs in found.items()} == {
        "finished without a value of score": ["a", "g"],
        "exit code 3 boom": ["b", "c"],
        "stopped": ["d"],
        "exit code 9": ["e"],
    }


def test_ablation_compares_over_the_same_seeds() -> None:
    best = [run_of(f"best-{s}", 0.97 + s / 100, lr=0.1, width=32, seed=s) for s in range(3)]
    undone = [
        run_of("no-lr", 0.90, lr=0.5, width=32),
        run_of("no-width", 0.968, lr=0.1, width=16),
        run_of("no-luck", None, lr=0.5, width=16, status="failed"),
        run_of("no-lr-1", 0.92, lr=0.5, width=32, seed=1),
    ]
    runs, project = [*BASELINE, *best, *undone], project_of()
    reference = {"lr": 0.1, "width": 32}
    found = effects(undone, runs, project, reference)
    assert [one.undone for one in found] == [
        {"lr": 0.5},
        {"width": 16},
        {"lr": 0.5, "width": 16},
    ]
    assert [one.seeds for one in found] == [2, 1, 0]
    assert [one.reference for one in found] == pytest.approx([0.975, 0.97, 0.98])
    lines = ablation_lines(runs, (undone, reference), project)
    assert "lr back at 0.5: score 0.91 against 0.975 over 2 common seeds" in lines[0]
    assert "a loss of +0.0650: the change matters, beyond the spread of 0.0100" in lines[0]
    assert "within the spread" in lines[1]
    assert "no result" in lines[2]


def test_lessons_name_the_numbers() -> None:
    best = [run_of(f"best-{s}", 0.97, lr=0.1, seed=s) for s in range(3)]
    failed = run_of("bad", None, lr=0.9, status="failed", error="out of memory")
    text = "\n".join(lessons([*BASELINE, *best, failed], ([], {}), project_of()))
    assert "0.91 ± 0.0100 (n=3)" in text
    assert "+0.0600 over the baseline" in text
    assert "- [gotcha] 1 runs gave no result (out of memory), such as lr=0.9, width=16." in text


def test_a_table_keeps_its_columns_whatever_the_values() -> None:
    odd = run_of("a|b", 0.9, id="x|y")
    assert "a\\|b" in runs_table([odd], project_of())


def test_nothing_finished_is_said_plainly() -> None:
    assert headline([], project_of()) == "No run has ended yet."
    failed = [run_of("a", None, status="failed")]
    assert headline(failed, project_of()) == "None of 1 ended runs has a result."
    assert "not reached" in goal_verdict("above 0.9", failed, project_of())


@pytest.mark.parametrize(
    ("goal", "direction", "value", "inclusive"),
    [
        ("Get val accuracy above 0.97 under 1M parameters", "max", 0.97, False),
        ("at least 97 % please", "max", 0.97, True),
        ("score >= 3", "max", 3.0, True),
        ("bring the loss below 1e-2", "min", 0.01, False),
        ("at most 0.3.", "min", 0.3, True),
    ],
)
def test_the_goals_number_is_read(goal: str, direction: str, value: float, inclusive: bool) -> None:
    target = target_of(goal, project_of(direction))
    assert target is not None
    assert target.value == pytest.approx(value)
    assert target.inclusive is inclusive
    assert target.met_by(target.value) is inclusive


@pytest.mark.parametrize(
    "goal", ["make it better", "above 0.9, then above 0.95", "below 0.1", "above 3M", ""]
)
def test_a_goal_without_one_clear_number_sets_no_target(goal: str) -> None:
    assert target_of(goal, project_of()) is None
