"""What the baseline agent concludes from runs."""

from typing import Any

from wildloop.blocks.agents.baseline.analysis import (
    baseline_group,
    best_group,
    failures,
    groups,
)
from wildloop.blocks.agents.baseline.api import EvidenceView, RunView
from wildloop.blocks.agents.baseline.config import ProjectFile
from wildloop.blocks.agents.baseline.outlook import Outlook
from wildloop.blocks.agents.baseline.writing import (
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


def test_lower_is_better_where_the_metric_is_a_loss() -> None:
    project = project_of("min")
    runs = [*BASELINE, run_of("low", 0.5, lr=0.1), run_of("high", 2.0, lr=0.2)]
    best, base = best_group(runs, project), baseline_group(runs, project)
    assert best is not None and base is not None
    assert best.configuration["lr"] == 0.1
    outlook = Outlook(project, runs)
    assert outlook.rivals[0].configuration["lr"] == 0.1
    assert Outlook(project_of("max"), runs).rivals[0].configuration["lr"] == 0.2


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


EVIDENCE = EvidenceView.model_validate(
    {
        "headline": "score 0.97 ± 0.01 (n=3) (lr=0.1), +0.06 on the baseline's 0.91 (n=3)",
        "target_text": "target score above 0.9: reached (0.97 ± 0.01 (n=3))",
        "findings": ["lr: 0.1 -> 0.5: needed (with it 0.97, without 0.9, p = 0.001)"],
        "ablation": {"rows": [{"text": "lr: 0.1 -> 0.5: needed"}, {"text": "width: undecided"}]},
    }
)


def test_verdicts_are_those_of_the_account_and_lessons_what_it_has_established() -> None:
    failed = run_of("bad", None, lr=0.9, status="failed", error="out of memory")
    assert lessons([*BASELINE, failed], EVIDENCE, project_of()) == [
        "- [lesson] lr: 0.1 -> 0.5: needed (with it 0.97, without 0.9, p = 0.001).",
        "- [gotcha] 1 run gave no result (out of memory), such as lr=0.9, width=16.",
    ]
    assert headline(EVIDENCE).startswith("Score 0.97 ± 0.01 (n=3) (lr=0.1), +0.06")
    assert goal_verdict(EVIDENCE) == "Target score above 0.9: reached (0.97 ± 0.01 (n=3))."
    assert ablation_lines(EVIDENCE) == ["- lr: 0.1 -> 0.5: needed", "- width: undecided"]


def test_where_nothing_is_established_nothing_is_learnt() -> None:
    best = [run_of(f"best-{s}", 0.99, lr=0.1, seed=s) for s in range(3)]
    nothing = EvidenceView(headline="no run has ended yet")
    assert lessons([*BASELINE, *best], nothing, project_of()) == []
    assert headline(nothing) == "No run has ended yet."
    assert ablation_lines(nothing) == ["- no ablation was run"]
    assert "names no single number" in goal_verdict(nothing)


def test_a_table_keeps_its_columns_whatever_the_values() -> None:
    odd = run_of("a|b", 0.9, id="x|y")
    assert "a\\|b" in runs_table([odd], project_of())
