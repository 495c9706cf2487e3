"""Ablations and withdrawn runs: no tries to be better, with a row of their own."""

from tests.flows.keep.test_decide import BEST, Bench, group
from tests.support.records import made_run
from wildloop.flows.keep.aside import set_aside, tries
from wildloop.flows.keep.decide import Change, decide
from wildloop.flows.models.keep import KeepStatus
from wildloop.flows.models.run import Run


def ablation(code: str = "old") -> list[Run]:
    return [
        made_run(
            9000 + seed,
            0.5 + seed / 100,
            name="ablation-augmentation",
            parameters={"lr": 0.1, "without": "augmentation"},
            code=code,
            seed=seed,
            created_at=3000.0,
            finished_at=3050.0,
        )
        for seed in range(3)
    ]


def change(bench: Bench, code: str) -> Change:
    mine = [one for one in bench.mine if one.code == code]
    return Change(mine, [one for one in bench.mine if one.code not in (code, "old")], bench.best)


def test_an_ablation_is_told_as_one_and_takes_no_share_of_alpha() -> None:
    bench = Bench(ablation())
    found = set_aside(bench.account, change(bench, "old"))
    assert found is not None
    assert (found.status, found.comparison) == (KeepStatus.ABLATION, None)
    assert found.why.startswith("of lr=0.1")
    assert "without: not set -> augmentation" in found.why
    assert found.best == bench.best


def test_a_try_beside_an_ablation_is_judged_alone() -> None:
    better = group(0.97, 0.98, 0.99)
    bench = Bench(ablation("new"), better)
    asked = change(bench, "new")
    assert set_aside(bench.account, asked) is None
    found = decide(bench.account, tries(bench.account, asked))
    assert found.status is KeepStatus.KEEP
    assert found.comparison is not None
    assert found.comparison.limit == 0.025


def test_what_was_withdrawn_is_no_way_to_keep_a_change_unmeasured() -> None:
    gone = [
        run.model_copy(update={"withdrawn": "the wrong data"}) for run in group(0.97, 0.98, 0.99)
    ]
    bench = Bench(gone)
    found = set_aside(bench.account, change(bench, "new"))
    assert found is not None
    assert found.status is KeepStatus.WITHDRAWN
    assert "the wrong data" in found.why
    assert found.best == bench.best


def test_without_a_best_everything_is_a_try() -> None:
    bench = Bench(BEST, best=[])
    assert set_aside(bench.account, change(bench, "old")) is None
