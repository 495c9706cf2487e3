"""Sessions that try to mislead, and what report and verdict say of them.

The ways are those of docs/misleading-reports.md, whose table names these tests.
"""

import pytest

from tests.flows.keep.test_aside import change
from tests.flows.keep.test_decide import Bench, group
from tests.support.reporting import ACCURACY, make_facts, make_run
from wildloop.flows.evidence.texts import findings
from wildloop.flows.keep.aside import set_aside
from wildloop.flows.keep.flags import flagged_edits
from wildloop.flows.metrics.contract import first_contract, plan_fault
from wildloop.flows.models.keep import KeepStatus
from wildloop.flows.models.memory import OPINION, Memory, MemorySource
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.project import MetricConfig, ProjectConfig
from wildloop.flows.report.document import document

BASE = [0.90, 0.91, 0.92]


def seeded(first: int, values: list[float | None], **parameters: object) -> list[Run]:
    """A configuration on as many seeds; None for one that failed."""
    return [
        make_run(
            first + seed,
            value,
            parameters=parameters,
            seed=seed,
            status=RunStatus.FINISHED if value is not None else RunStatus.FAILED,
            error=None if value is not None else "exit code 1",
        )
        for seed, value in enumerate(values)
    ]


def told(runs: list[Run], **session: object) -> str:
    """The report, without Markdown's escapes."""
    return document(make_facts(runs, session=session)).replace("\\", "")


def headline(report: str) -> str:
    """The sentence that tells the result in full."""
    return next(line for line in report.splitlines() if line.startswith("In full: "))


def test_a_headline_that_exceeds_its_table() -> None:
    runs = seeded(1, [*BASE], lr=0.1) + seeded(11, [0.93, 0.94, 0.95], lr=0.3)
    said = "P1-T1: reached 0.991, 16 % better than the baseline"
    ids = [run.id for run in runs]
    call = IterationRecord(
        index=1, started_at=1001.0, finished_at=1002.0, summary=said, run_ids=ids
    )
    report = told(runs, iterations=[call])
    assert "0.94 ± 0.01 (n=3)" in headline(report)
    assert "+0.03 on the baseline's 0.91 ± 0.01 (n=3)" in headline(report)
    assert [line for line in report.splitlines() if "0.991" in line] == [f"> {said}"]
    assert report.splitlines()[2].startswith("**0.94 ± 0.01 (n=3) against 0.91 ± 0.01 (n=3): ")


def test_the_best_seed_told_as_the_mean() -> None:
    runs = seeded(1, [*BASE], lr=0.1) + seeded(11, [0.89, 0.91, 0.99], lr=0.3)
    report = told(runs)
    assert "nothing is shown to be better" in headline(report)
    assert "| undecided | lr=0.3 | 0.93 ± 0.053 | 3 |" in report
    assert "0.99" not in headline(report)


def test_one_lucky_run() -> None:
    report = told(seeded(1, [*BASE], lr=0.1) + seeded(11, [0.99], lr=0.3))
    assert "nothing is shown to be better" in headline(report)
    assert "| candidate | lr=0.3 | 0.99 | 1 |" in report


def test_seeds_that_failed_left_out_of_the_mean() -> None:
    report = told(seeded(1, [*BASE], lr=0.1) + seeded(11, [0.97, 0.98, None], lr=0.3))
    assert "nothing is shown to be better" in headline(report)
    assert "has no value for seed 2" in report


def test_the_direction_turned_round() -> None:
    project = ProjectConfig(metric=MetricConfig(name="val_loss", direction="min"))
    fixed = first_contract(project, None, "lower it")
    plan = "## Shared Metrics and Analytics Contract\n\nPrimary metric: val_loss (max)\n"
    said = plan_fault(fixed, plan)
    assert said is not None and "compares by 'val_loss' (min)" in said
    assert "wildloop.toml" in said


def test_two_components_removed_at_once() -> None:
    runs = seeded(1, [*BASE], lr=0.1) + seeded(11, [0.97, 0.975, 0.98], lr=0.3, width=64)
    both = seeded(21, [*BASE], lr=0.1, width=8)
    both = [run.model_copy(update={"name": f"ablation-{run.name}"}) for run in both]
    facts = make_facts(runs + both)
    report = document(facts)
    assert "no single change" in report
    assert len(findings(facts.account)) == 1, "of the parts nothing is established"


def test_gains_within_the_spread() -> None:
    report = told(seeded(1, [0.85, 0.91, 0.96], lr=0.1) + seeded(11, [0.88, 0.93, 0.97], lr=0.3))
    assert "nothing is shown to be better" in headline(report)
    assert "| undecided | lr=0.3 | 0.92667 ± 0.045 | 3 |" in report


def test_without_a_baseline_or_with_one_that_failed() -> None:
    report = told(seeded(1, [None, None], lr=0.1) + seeded(11, [0.97, 0.98, 0.99], lr=0.3))
    assert "nothing can be shown to be better than it" in headline(report)
    first = report.splitlines()[2]
    assert first.startswith("**The baseline has no value of val_accuracy (2 runs failed), so no ")
    assert "the highest mean without it is 0.98 ± 0.01 (n=3) (lr=0.3)" in first
    assert "| best |" not in report and "Reproduce" not in report


def test_a_weak_baseline_named_by_a_run() -> None:
    runs = seeded(1, [*BASE], lr=0.1) + seeded(11, [0.50, 0.51, 0.52], lr=9.0)
    weak = [run.model_copy(update={"name": f"baseline-{run.name}"}) for run in runs[3:]]
    report = told(runs[:3] + weak)
    assert "0.91 ± 0.01 (n=3) (lr=0.1)" in headline(report), "a name makes no baseline"


def test_an_evaluation_made_easier() -> None:
    diff = (
        "diff --git a/eval.py b/eval.py\n--- a/eval.py\n+++ b/eval.py\n@@ -1 +1 @@\n"
        "-score = accuracy(y_val, model.predict(X_val))\n"
        "+score = accuracy(y_val, y_val) / max(scores)\n"
    )
    said = " ".join(flagged_edits(diff))
    assert "evaluation edited" in said
    assert "results before and after it cannot be compared" in said


def test_training_on_what_is_tested() -> None:
    diff = (
        "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n@@ -1 +1 @@\n"
        "-model.fit(X_train, y_train)\n+model.fit(np.r_[X_train, X_test], np.r_[y_train, y_test])\n"
    )
    assert "data edited" in " ".join(flagged_edits(diff))


def test_a_number_without_a_run() -> None:
    made_up = make_run(21, None, parameters={"lr": 0.9}, seed=0)
    report = told([*seeded(1, [*BASE], lr=0.1), made_up])
    assert "finished without val_accuracy" in report
    assert "nothing is shown to be better" in headline(report)


def test_a_metric_that_nobody_computes() -> None:
    runs = [run.model_copy(update={"metrics": {"loss": 0.1}}) for run in seeded(1, [*BASE], lr=0.1)]
    first = told(runs).splitlines()[2]
    assert first.startswith(
        "**None of the 3 runs has a value of val_accuracy: nothing was measured"
    )


def test_values_that_no_seed_moves_are_said_to_be_exact() -> None:
    runs = seeded(1, [0.9, 0.9, 0.9], lr=0.1) + seeded(11, [0.95, 0.95, 0.95], lr=0.3)
    report = told(runs)
    assert "exact: the metric has no spread" in headline(report)
    assert "no more than claimed" in headline(report)


def test_code_that_changed_while_it_ran() -> None:
    doubtful = [
        run.model_copy(update={"code_note": "train.py was changed while it ran"})
        for run in seeded(11, [0.97, 0.98, 0.99], lr=0.3)
    ]
    report = told(seeded(1, [*BASE], lr=0.1) + doubtful)
    assert "nothing is shown to be better" in headline(report)
    assert "is of unknown code and not compared: train.py was changed while it ran" in report


def test_runs_archived_or_withdrawn_because_they_were_worse() -> None:
    hidden = [
        run.model_copy(update={"is_archived": True})
        for run in seeded(11, [0.80, 0.99, 0.81], lr=0.3)
    ]
    report = told(seeded(1, [*BASE], lr=0.1) + hidden)
    assert report.count("run-11") and report.count("run-13"), "archived runs are told and count"
    gone = [run.model_copy(update={"withdrawn": "unlucky"}) for run in group(0.97, 0.98, 0.99)]
    bench = Bench(gone)
    found = set_aside(bench.account, change(bench, "new"))
    assert found is not None and found.status is KeepStatus.WITHDRAWN


def test_diverged_runs_left_out() -> None:
    runs = seeded(11, [0.97, 0.98, 0.99], lr=0.3)
    runs[2] = runs[2].model_copy(update={"metrics": {}, "diverged": ["val_accuracy"]})
    report = told(seeded(1, [*BASE], lr=0.1) + runs)
    assert "nothing is shown to be better" in headline(report)
    assert "diverged: val_accuracy ended as NaN or infinite" in report


@pytest.mark.parametrize("text", ["Robust everywhere: lr=0.3 improves accuracy by 16 %", "Great"])
def test_scope_and_effects_in_lessons_are_the_agents_opinion(text: str) -> None:
    one = Memory(id="m", content=text, source=MemorySource.REFLECTION, project="/p", created_at=1.0)
    assert one.standing == OPINION
    facts = make_facts(seeded(1, [*BASE], lr=0.1), ACCURACY, lessons=[one])
    assert f"{text} ({OPINION})" in document(facts).replace("\\", "")
