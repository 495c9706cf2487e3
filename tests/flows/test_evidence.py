"""The evidence that a reflection is given."""

from flows.evidence import EVIDENCE_LIMIT, evidence_section
from flows.models.session_record import IterationRecord
from flows.models.spending import Spending
from flows.project import MetricConfig
from tests.support.records import made_record, made_run

METRIC = MetricConfig(name="score")


def section(runs, records=(), logs=None, metric=METRIC) -> str:  # type: ignore[no-untyped-def]
    return evidence_section(records, runs, logs or {}, metric, Spending(hours=1.5, cost_usd=2))


BASE = [
    made_run(n, 0.5 + 0.01 * n, name=f"baseline-{n}", parameters={"lr": 0.1, "seed": n})
    for n in (1, 2, 3)
]


def test_a_gain_beyond_the_spread_is_told_with_its_numbers() -> None:
    best = [made_run(n + 3, 0.9 + 0.01 * n, parameters={"lr": 0.3, "seed": n}) for n in (1, 2, 3)]
    text = section([*BASE, *best])
    assert "- best: lr=0.3: score 0.92 ± 0.01 (n=3), runs id-0004, id-0005, id-0006" in text
    assert "- baseline: lr=0.1: score 0.52 ± 0.01 (n=3)" in text
    assert "- difference of means: +0.4 (max is better)" in text
    assert "is more than twice its standard error of 0.0082" in text
    assert "In doubt" not in text
    assert "| lr=0.3 | 3 | 0.92 | 0.01 | 0 | 3 |" in text
    assert "$2.00, 1.50 h since the start" in text


def test_a_gain_within_the_spread_and_a_single_seed_are_in_doubt() -> None:
    text = section([*BASE, made_run(9, 0.525, parameters={"lr": 0.3, "seed": 1})])
    assert "the difference is NOT more than twice" in text
    assert "In doubt: the best has 1 of at least 3 seeds" in text


def test_spread_that_nobody_measured_is_said() -> None:
    runs = [made_run(1, 0.5, parameters={"lr": 1}), made_run(2, 0.6, parameters={"lr": 2})]
    assert "The spread over seeds is not known" in section(runs)


def test_nothing_better_than_the_baseline() -> None:
    assert "Nothing better than the baseline was found" in section(BASE)


def test_failures_are_counted_by_cause() -> None:
    runs = [*BASE, *(made_run(n, name=f"bad-{n}") for n in (4, 5, 6))]
    logs = {
        "id-0004": "RuntimeError: out of memory at 0x7f",
        "id-0005": "RuntimeError: out of memory at 0x9f",
        "id-0006": "KeyError: 'x'",
    }
    text = section(runs, logs=logs)
    assert "- 2 x RuntimeError: out of memory at 0x7f (bad-4, bad-5)" in text
    assert "- 1 x KeyError: 'x' (bad-6)" in text


def test_changes_are_told_with_their_outcome() -> None:
    runs = [*BASE, made_run(4, 0.7, parameters={"lr": 0.1, "w": 8}), made_run(5)]
    records = [
        made_record(1, "none", run_ids=["id-0001"]),
        made_record(2, "architecture", run_ids=["id-0004", "id-0005"]),
        made_record(3, "data"),
    ]
    text = section(runs, records)
    wanted = "| 2 | architecture | change 2 | best of 1 runs 0.7 (+0.17 on the best before)"
    assert f"{wanted}, 1 failed |" in text
    assert "| 3 | data | change 3 | no runs |" in text
    assert "| 1 | none" not in text


def test_a_session_without_anything() -> None:
    text = section([], [IterationRecord(index=0, kind="planning", started_at=0)])
    assert "No finished run has `score`." in text
    assert "No run failed." in text
    assert "No iteration declared a change." in text
    assert "No primary metric is configured" in section([], metric=None)


def test_it_stays_short() -> None:
    runs = [made_run(n, 0.1, parameters={"lr": n, "x": "y" * 200}) for n in range(1000)]
    runs += [made_run(n, error=f"{chr(97 + n % 26) * 900}") for n in range(1000, 1200)]
    records = [made_record(n, "data") for n in range(300)]
    assert len(section(runs, records)) < EVIDENCE_LIMIT + 100
