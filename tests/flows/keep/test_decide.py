"""Runs in, decision out."""

from typing import Any

import numpy as np
import pytest

from flows.keep.decide import NOT_MEASURED, Decision, decide
from flows.keep.evidence import evidence, merged
from flows.models.keep import Evidence, KeepStatus
from flows.models.run import Run, RunStatus


def run(
    number: int, command: str = "python train.py", score: float | None = 0.9, **more: Any
) -> Run:
    fields: dict[str, Any] = {
        "id": f"r{number}",
        "name": f"run {number}",
        "command": command,
        "workdir": "/p",
        "status": RunStatus.FINISHED if score is not None else RunStatus.FAILED,
        "created_at": float(number),
        "run_dir": "/p/.wild/runs/x",
        "metrics": {} if score is None else {"score": score},
    }
    return Run(**(fields | more))


def group(*values: float, name: str = "train", **more: Any) -> Evidence:
    seeds = [str(number) for number in range(len(values))]
    return Evidence(configuration=name, values=list(values), seeds=seeds, **more)


BEST = group(0.90, 0.91, 0.92)


def test_runs_of_one_seed_count_once_and_repetitions_without_seed_tell_nothing_new() -> None:
    seeded = evidence(
        [run(1, seed=1, score=0.8), run(2, seed=1, score=0.9), run(3, seed=2, score=0.7)], "score"
    )
    assert (seeded[0].seeds, seeded[0].values) == (["1", "2"], [pytest.approx(0.85), 0.7])
    (plain,) = evidence([run(1), run(2), run(3, score=0.8)], "score")
    assert (plain.values, plain.seeds) == ([0.9, 0.8], ["?", "?"])


def test_a_seed_without_a_value_is_noted_unless_another_run_has_it() -> None:
    runs = [run(1, seed=1), run(2, seed=2, score=None), run(3, seed=3, metrics={"other": 1.0})]
    assert evidence(runs, "score")[0].failed_seeds == ["2", "3"]
    assert evidence([*runs, run(4, seed=2)], "score")[0].failed_seeds == ["3"]


def test_memory_is_taken_from_the_metrics_in_mib() -> None:
    found = evidence(
        [run(1, metrics={"score": 1, "peak_memory_mb": 300.0}), run(2, metrics={"vram_gb": 2.0})],
        "score",
    )
    assert found[0].memory_mb == 2048.0
    assert (
        evidence([run(1, metrics={"score": 1, "memory_cells": 3.0})], "score")[0].memory_mb is None
    )


def test_more_seeds_of_the_best_are_added_once() -> None:
    more = Evidence(configuration="train", values=[0.5, 0.93], seeds=["0", "9"])
    assert merged(BEST, more).values == [0.90, 0.91, 0.92, 0.93]


def decided(*groups: Evidence, best: Evidence | None = BEST, **more: Any) -> Decision:
    return decide(list(groups), best, "max", **({"code_changed": True} | more))


def test_nothing_measured_stays() -> None:
    found = decided()
    assert (found.status, found.why, found.best) == (KeepStatus.KEEP, NOT_MEASURED, BEST)


def test_the_first_measurement_is_the_best_and_a_baseline_comes_first() -> None:
    found = decided(
        group(0.5, 0.51, name="a"), group(0.6, 0.61, name="b", names=["Baseline 0"]), best=None
    )
    assert found.status is KeepStatus.KEEP
    assert found.best is not None and found.best.configuration == "b"
    assert any("only 2 seeds" in warning for warning in found.warnings)


def test_what_comes_with_the_first_measurement_is_compared_with_it() -> None:
    found = decided(group(0.50, 0.51, 0.52, name="a"), group(0.90, 0.91, 0.92, name="b"), best=None)
    assert found.best is not None and found.best.configuration == "b"
    assert found.against is not None and found.against.configuration == "a"


def test_better_is_kept_and_worse_or_unclear_is_not() -> None:
    kept = decided(group(0.97, 0.98, 0.99))
    assert kept.status is KeepStatus.KEEP
    assert kept.best is not None and kept.best.mean == pytest.approx(0.98)
    for values in ((0.1, 0.1, 0.2), (0.911, 0.92, 0.913), (0.90, 0.91, 0.92)):
        found = decided(group(*values))
        assert (found.status, found.best) == (KeepStatus.DISCARD, BEST)
    # A smaller value is the better one where the metric says so.
    assert decide([group(0.1, 0.1, 0.2)], BEST, "min", code_changed=True).status is KeepStatus.KEEP


def test_one_lucky_seed_is_not_kept() -> None:
    single = group(0.9)
    found = decided(group(0.99), best=single)
    assert found.status is KeepStatus.DISCARD
    assert "not established" in found.why
    assert any("3 or more different seeds" in warning for warning in found.warnings)
    # The spread of the best's own seeds tells whether one seed more is anything.
    assert decided(group(0.93)).status is KeepStatus.DISCARD
    assert decided(group(0.99)).status is KeepStatus.KEEP


def test_runs_that_all_fail_are_a_crash_and_half_failed_ones_do_not_count() -> None:
    failed = Evidence(configuration="x", failed_seeds=["1"])
    assert decided(failed).status is KeepStatus.CRASH
    half = group(0.99, 0.99, name="half", failed_seeds=["7"])
    assert decided(half).status is KeepStatus.CRASH
    found = decided(half, group(0.90, 0.91, 0.90, name="whole"))
    assert (found.status, found.best) == (KeepStatus.DISCARD, BEST)
    assert any("no value for seed 7" in warning for warning in found.warnings)


def test_the_best_again_on_unchanged_code_adds_seeds() -> None:
    more = Evidence(configuration="train", values=[0.92], seeds=["12"])
    found = decided(more, code_changed=False)
    assert found.status is KeepStatus.KEEP
    assert found.best is not None and found.best.n == 4
    # On changed code it is a candidate like any other.
    assert decided(more).status is KeepStatus.DISCARD


def test_busy_runs_are_not_compared_without_a_warning() -> None:
    found = decided(group(0.97, 0.98, 0.99, busy=["run 1: load 9 on 2 cores"]))
    assert any("shared their machine" in warning for warning in found.warnings)


def test_a_session_of_changes_without_effect_keeps_few_of_them() -> None:
    chance = np.random.default_rng(6)
    kept = 0
    for _ in range(40):
        best, spread = None, None
        for number in range(21):
            values = group(*chance.normal(size=3), name=str(number))
            found = decide([values], best, "max", code_changed=True, spread=spread)
            kept += number > 0 and found.status is KeepStatus.KEEP
            best, spread = found.best, found.spread
    assert kept / 800 < 0.06


@pytest.mark.parametrize("tried", [1, 8])
def test_noise_is_rarely_progress_however_many_configurations_are_tried(tried: int) -> None:
    chance = np.random.default_rng(5)
    kept = 0
    for _ in range(600):
        best = group(*chance.normal(size=5))
        groups = [group(*chance.normal(size=3), name=str(number)) for number in range(tried)]
        kept += decided(*groups, best=best).status is KeepStatus.KEEP
    # 600 draws: the standard error at 0.05 is 0.009. Bonferroni is on the careful side.
    assert kept / 600 < 0.075
