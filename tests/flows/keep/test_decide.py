"""Runs in, decision out."""

from typing import Any
from zlib import crc32

import numpy as np
import pytest

from tests.support.records import made_run
from wildloop.flows.evidence.account import Account, Branch, Contract
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.keep.decide import (
    NOT_COMPARED,
    NOT_MEASURED,
    OTHER_CODE,
    Change,
    Decision,
    decide,
    limit_of,
)
from wildloop.flows.keep.measured import evidence_of
from wildloop.flows.models.keep import Evidence, KeepStatus
from wildloop.flows.models.run import Run
from wildloop.flows.project import MetricConfig

START = 1000.0


def group(*values: float | None, code: str = "new", lr: float = 0.1, seed: int = 0) -> list[Run]:
    """A configuration on as many seeds; None for a seed that failed."""
    first = crc32(repr((code, lr, seed)).encode()) % 10**6
    return [
        made_run(
            first + number,
            value,
            parameters={"lr": lr},
            code=code,
            seed=seed + number,
            created_at=START + first / 10**7,
            finished_at=START + 50,
        )
        for number, value in enumerate(values)
    ]


BEST = group(0.90, 0.91, 0.92, code="old")


class Bench:
    """A session up to its decision: what was best before, and the iteration's runs."""

    def __init__(self, *groups: list[Run], best: list[Run] = BEST, **contract: Any) -> None:
        direction = contract.pop("direction", "max")
        metric = MetricConfig(name="score", direction=direction)
        runs = [run for one in [best, *groups] for run in one]
        first = Account(best, Contract(metric)).configurations
        branch = Branch(best=first[0].id, baseline=first[0].id) if first else Branch()
        self.account = Account(runs, Contract(metric, **contract), branch)
        self.best = self.seen(first[0]) if first else None
        self.mine = [
            one
            for one in self.account.configurations
            if any(run in each for each in groups for run in one.runs)
        ]

    def seen(self, one: Configuration) -> Evidence:
        return evidence_of(one, 1, "c", {})

    def decide(self, code: str | None = "new", **change: Any) -> Decision:
        return decide(
            self.account,
            Change(
                candidates=[one for one in self.mine if one.code == code],
                others=[one for one in self.mine if one.code not in (code, "old")],
                best=self.best,
                **change,
            ),
        )


def decided(*groups: list[Run], **more: Any) -> Decision:
    return Bench(*groups, **more).decide()


def test_nothing_measured_stays() -> None:
    found = Bench().decide(has_runs=False)
    assert (found.status, found.why) == (KeepStatus.KEEP, NOT_MEASURED)
    assert Bench().decide().why == NOT_COMPARED


def test_the_first_measurement_is_the_best_whatever_its_name() -> None:
    late = [run.model_copy(update={"name": "baseline"}) for run in group(0.5, 0.53, lr=9)]
    first = [run.model_copy(update={"created_at": 1.0}) for run in group(0.5, 0.51)]
    found = decided(first, late, best=[])
    assert found.status is KeepStatus.KEEP
    assert found.best is not None and "lr=0.1" in found.best.configuration
    assert any("only 2 seeds" in warning for warning in found.warnings)


def test_what_comes_with_the_first_measurement_is_compared_with_it() -> None:
    first = [run.model_copy(update={"created_at": 1.0}) for run in group(0.50, 0.51, 0.52)]
    found = decided(first, group(0.90, 0.91, 0.92, lr=9), best=[])
    assert found.best is not None and "lr=9" in found.best.configuration
    assert found.against is not None and "lr=0.1" in found.against.configuration


def test_better_is_kept_and_worse_or_unclear_is_not() -> None:
    kept = decided(group(0.97, 0.98, 0.99))
    assert kept.status is KeepStatus.KEEP
    assert kept.best is not None and kept.best.mean == pytest.approx(0.98)
    for values in ((0.1, 0.1, 0.2), (0.911, 0.92, 0.913), (0.90, 0.91, 0.92)):
        found = decided(group(*values))
        assert found.status is KeepStatus.DISCARD
        assert found.best is not None and found.best.code == "old"
    # A smaller value is the better one where the metric says so.
    assert decided(group(0.1, 0.1, 0.2), direction="min").status is KeepStatus.KEEP


def test_one_lucky_seed_is_not_kept_however_good() -> None:
    found = decided(group(0.99), best=group(0.9, code="old"))
    assert found.status is KeepStatus.DISCARD
    assert "not established" in found.why
    assert any("3 or more different seeds" in warning for warning in found.warnings)
    single = decided(group(0.99))
    assert single.status is KeepStatus.DISCARD and "one seed shows nothing" in single.why


def test_runs_that_all_fail_are_a_crash_and_half_failed_ones_do_not_count() -> None:
    assert decided(group(None, None)).status is KeepStatus.CRASH
    half = group(0.99, 0.99, None, lr=0.5)
    assert decided(half).status is KeepStatus.CRASH
    found = decided(half, group(0.90, 0.91, 0.90))
    assert found.status is KeepStatus.DISCARD
    assert any("no value for seed 2" in warning for warning in found.warnings)


def test_the_best_again_adds_seeds_and_other_code_is_not_averaged_with_it() -> None:
    more = group(0.92, 0.93, code="old", seed=7)
    bench = Bench(more)
    found = bench.decide("old")
    assert found.status is KeepStatus.KEEP
    assert found.best is not None and found.best.n == 5
    # The best's seeds and those of the change, made in one iteration.
    both = Bench(more, group(0.97, 0.98, 0.99)).decide()
    assert both.comparison is not None
    assert (both.comparison.theirs.n, both.comparison.ours.n) == (5, 3)
    assert both.status is KeepStatus.KEEP


def test_runs_of_code_that_was_mended_are_told_and_do_not_count() -> None:
    found = decided(group(9.0, 9.1, 9.2, code="faulty"), group(0.91, 0.90, 0.92))
    assert found.status is KeepStatus.DISCARD
    assert found.candidate is not None and found.candidate.code == "new"
    assert any("other code than this iteration has left" in text for text in found.warnings)
    only = decided(group(9.0, 9.1, 9.2, code="faulty"))
    assert (only.status, only.why) == (KeepStatus.KEEP, OTHER_CODE)


def test_equal_configurations_give_way_to_the_simplest() -> None:
    best = group(0.9, 0.9, 0.9, code="old")
    far = [run.model_copy(update={"parameters": {"lr": 5, "x": 1}}) for run in group(1.0, 1.0)]
    near = [run.model_copy(update={"parameters": {"lr": 5}}) for run in group(1.0, 1.0, lr=2)]
    found = decided(far, near, best=best)
    assert found.best is not None and "x=1" not in found.best.configuration
    assert "; as good, with more changes from the baseline: lr=5, x=1" in found.why


def test_busy_runs_are_not_compared_without_a_warning() -> None:
    runs = group(0.97, 0.98, 0.99)
    found = Bench(runs).decide(busy={runs[0].id: "load 9 on 2 cores"})
    assert any("shared their machine" in warning for warning in found.warnings)


def test_all_tests_since_the_last_keep_share_alpha() -> None:
    assert [limit_of(tests, 0.06) for tests in (0, 1, 2)] == pytest.approx([0.03, 0.01, 0.005])
    assert sum(limit_of(tests, 0.05) for tests in range(10_000)) < 0.05
    rivals = [group(0.91, 0.92, 0.93, lr=lr) for lr in (1, 2, 3)]
    found = Bench(*rivals).decide(tests=1)
    assert found.comparison is not None
    assert found.comparison.limit == pytest.approx(0.05 / 6 / 3)


def test_a_session_of_changes_without_effect_keeps_nothing_mostly() -> None:
    chance = np.random.default_rng(6)
    kept = 0
    for _ in range(30):
        for tests in range(10):
            best = group(*chance.normal(size=5), code="old")
            found = Bench(group(*chance.normal(size=3)), best=best).decide(tests=tests)
            if found.status is KeepStatus.KEEP:
                kept += 1
                break
    assert kept / 30 < 0.17
