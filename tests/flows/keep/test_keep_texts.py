"""Keep or discard in words."""

from wildloop.flows.keep.texts import last_verdict, log_entry
from wildloop.flows.models.evidence import Comparison
from wildloop.flows.models.keep import Evidence, KeepState, KeepStatus, Verdict
from wildloop.flows.report.kept import kept

BEST = Evidence(
    configuration="python train.py",
    values=[0.9, 0.91],
    seeds=["1", "2"],
    iteration=1,
    commit="a" * 40,
)
DISCARDED = Verdict(
    iteration=2,
    label="iteration-02",
    status=KeepStatus.DISCARD,
    why="not shown to be better: difference +0.001, p = 0.4",
    description="wider\nlayer | twice",
    base="b" * 40,
    commit="c" * 40,
    candidate=BEST,
    against=BEST,
    comparison=Comparison(test="Welch t", gain=0.001, p=0.4),
    warnings=["seed edited"],
    tag="wild/s/iter-02",
    reverted_by="d" * 40,
)
STATE = KeepState(metric="score", best=BEST, verdicts=[DISCARDED])


def test_the_agent_is_told_the_last_decision_and_how_sure_the_best_is() -> None:
    assert last_verdict(KeepState()) == ""
    told = last_verdict(STATE)
    for words in (
        "only 2 seeds of python train.py",
        "iteration-02: **discard**: not shown to be better: difference +0.001, p = 0.4",
        "wider layer | twice",
        "git diff bbbbbbbbbbbb wild/s/iter-02",
        "- note: seed edited",
    ):
        assert words in told


def test_log_and_report_have_the_numbers_and_stay_tables() -> None:
    assert log_entry(DISCARDED).startswith("## iteration-02: discard\n")
    report = kept(STATE, 0.05)
    (row,) = [line for line in report.splitlines() if line.startswith("| 2 ")]
    assert row.count("|") - row.count("\\|") == 11
    assert "0 keep, 1 discard, 0 crash" in report
    assert "- iteration-02: seed edited" in report
    assert "No change was measured" in kept(KeepState(), 0.05)
