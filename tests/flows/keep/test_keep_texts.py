"""Keep or discard in words."""

from flows.keep.texts import isolation_section, keep_section, log_entry
from flows.models.keep import Comparison, Evidence, KeepState, KeepStatus, Verdict
from flows.models.session_record import IterationRecord
from flows.report.kept import kept

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
LAST = IterationRecord(index=2, started_at=0, flags=["seed edited", "data edited"])


def test_a_session_that_keeps_all_is_told_of_suspicious_edits_only() -> None:
    assert keep_section(KeepState(), 0.05, False, None) == ""
    told = keep_section(KeepState(), 0.05, False, LAST)
    assert "- seed edited" in told and "Keep or discard" not in told


def test_the_agent_is_told_the_rule_the_best_and_the_last_decision() -> None:
    assert "Nothing is measured yet" in keep_section(KeepState(), 0.01, True, None)
    told = keep_section(STATE, 0.05, True, LAST)
    for words in (
        "alpha 0.05",
        "`score` (max)",
        "Best so far: 0.905 ± 0.0071 over 2 seeds (seeds 1, 2)",
        "only 2 seeds of python train.py",
        "iteration-02: **discard**: not shown to be better: difference +0.001, p = 0.4",
        "wider layer | twice",
        "git diff bbbbbbbbbbbb wild/s/iter-02",
        "- data edited",
    ):
        assert words in told
    assert told.count("seed edited") == 1


def test_log_and_report_have_the_numbers_and_stay_tables() -> None:
    assert log_entry(DISCARDED).startswith("## iteration-02: discard\n")
    report = kept(STATE, 0.05)
    (row,) = [line for line in report.splitlines() if line.startswith("| 2 ")]
    assert row.count("|") - row.count("\\|") == 10
    assert "0 keep, 1 discard, 0 crash" in report
    assert "- iteration-02: seed edited" in report
    assert "No change was measured" in kept(KeepState(), 0.05)


def test_where_runs_execute_is_told_only_of_snapshots() -> None:
    assert isolation_section(False) == ""
    assert "git worktree" in isolation_section(True)
