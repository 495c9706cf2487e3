"""What was better and is not kept all the same: the reason stands wherever the decision does."""

from tests.flows.keep.test_decide import Bench, group
from wildloop.flows.keep.decide import Decision
from wildloop.flows.keep.held import held, refused
from wildloop.flows.models.guard import parse_guard
from wildloop.flows.models.keep import KeepState, KeepStatus, Verdict
from wildloop.flows.report.kept import kept

GUARD = "loss at most 0.1"
BROKEN = "breaks a guard (loss at most 0.1: 0.5, the bound is 0.1)"


def decided(*guards: str) -> Decision:
    bench = Bench(group(0.97, 0.98, 0.99), guards=[parse_guard(text) for text in guards])
    return held(bench.account, bench.decide())


def test_a_change_that_wins_and_breaks_a_guard_is_not_kept() -> None:
    assert decided().status is KeepStatus.KEEP
    found = decided(GUARD)
    assert (found.status, found.refused) == (KeepStatus.DISCARD, BROKEN)
    assert found.why.startswith(f"{BROKEN}; else it were kept: better")
    assert found.comparison is not None and not found.comparison.established
    assert found.best == found.against


def test_what_is_not_kept_is_not_said_to_be_kept_as_claimed() -> None:
    assert any(text.startswith("kept as claimed") for text in decided().warnings)
    assert decided(GUARD).warnings == ()


def test_the_report_says_why_a_shown_gain_was_not_kept() -> None:
    found = refused(decided(), "a check of the project: `make test` failed")
    verdict = Verdict(
        iteration=2,
        label="iteration-02",
        status=found.status,
        why=found.why,
        description="better and broken",
        candidate=found.candidate,
        against=found.against,
        comparison=found.comparison,
        refused=found.refused,
    )
    text = kept(KeepState(verdicts=[verdict], best=found.best), 0.05)
    assert "Welch t, but a check of the project: \\`make test\\` failed |" in text
