"""What the report says of sessions of every size, and that its numbers are those of runs."""

import csv
import io
import math
import re
from pathlib import Path

import pytest

from tests.support.report_cases import facts_of
from tests.support.reporting import make_facts, make_run
from wildloop.blocks.agents.prices import Usage
from wildloop.flows.models.run import RunStatus
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.project import MetricConfig
from wildloop.flows.report.build import build
from wildloop.flows.report.document import document
from wildloop.flows.report.ranking import code_names
from wildloop.flows.report.table_file import runs_csv

COMPARED = "Comparability"


def seeded(first: int, lr: float, values: list[float], name: str = "run") -> list:
    """Runs of one configuration, over seeds."""
    return [
        make_run(first + seed, value, name=f"{name}-{seed}", parameters={"lr": lr}, seed=seed)
        for seed, value in enumerate(values)
    ]


def section(text: str, title: str) -> str:
    """One section of the report."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_session_without_runs(tmp_path: Path) -> None:
    report = build(make_facts([]), tmp_path)
    assert "There were no runs." in report.markdown
    assert report.markdown.startswith("**No run of this session has finished")
    assert "\n## Result\n" not in report.markdown and "Reproduce" not in report.markdown
    assert report.csv.count("\n") == 1
    assert "<h1" in report.html and "<img" not in report.html


def test_session_with_one_run_compares_nothing(tmp_path: Path) -> None:
    report = build(make_facts([make_run(1, 0.9)]), tmp_path)
    result = section(report.markdown, "Result")
    assert "nothing is shown to be better than the baseline" in result.lower()
    assert "0.9" in result and "1 finished" in report.markdown


def test_thousand_runs_are_cut_openly_and_all_in_the_table_file(tmp_path: Path) -> None:
    runs = [make_run(n, 0.5 + n / 10_000, parameters={"lr": n / 1000}) for n in range(1, 1001)]
    report = build(make_facts(runs), tmp_path)
    table = section(report.markdown, "Runs")
    assert table.count("\n| ") == 202, "head, rule, and 200 rows"
    assert "the first 200 of 1000 runs" in table and "runs.csv" in table
    rows = list(csv.DictReader(io.StringIO(report.csv)))
    assert [row["id"] for row in rows] == [run.id for run in runs]
    assert float(rows[-1]["metric.val_accuracy"]) == runs[-1].metrics["val_accuracy"]
    assert len(report.html) < 5_000_000


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_value_that_is_not_finite_is_no_result(tmp_path: Path, value: float) -> None:
    runs = [*seeded(1, 0.02, [0.9, 0.91]), make_run(9, value, name="odd", parameters={"lr": 1.0})]
    report = build(make_facts(runs), tmp_path)
    assert "not finite" in section(report.markdown, "Failures")
    assert "odd-" not in section(report.markdown, "Result")


def test_without_a_metric_the_report_says_how_to_name_one(tmp_path: Path) -> None:
    report = build(make_facts([make_run(1, 0.9)], metric=None), tmp_path)
    assert "[metric] name" in section(report.markdown, "Result")
    assert "0.9" in section(report.markdown, "Runs")


def test_gain_over_seeds_has_an_interval() -> None:
    runs = seeded(1, 0.02, [0.90, 0.91, 0.92], "baseline") + seeded(9, 0.3, [0.97, 0.975, 0.98])
    text = document(make_facts(runs))
    result = section(text, "Result")
    assert "+0.065" in result and "95 % interval" in result
    first = text.splitlines()[2].replace("\\", "")
    assert first.startswith("**0.975 ± 0.005 (n=3) against 0.91 ± 0.01 (n=3): val_accuracy is ")
    assert "is 7.1 % higher, goal above 0.97 undecided, no more than claimed.**" in first
    assert "It took 6 runs, 1 iteration" in first and first.endswith("It ended: done.")
    row = next(line for line in result.splitlines() if line.startswith("| best |"))
    assert row.startswith("| best | lr=0.3 | 0.975 ± 0.005 | 3 | +0.065 (+0.0")
    assert row.endswith(" | claimed | 3 runs, 3 s |")


def test_single_seed_is_not_taken_for_a_gain() -> None:
    runs = seeded(1, 0.02, [0.90], "baseline") + seeded(9, 0.3, [0.97])
    result = section(document(make_facts(runs)), "Result")
    assert "nothing is shown to be better" in result
    assert "| candidate | lr=0.3 | 0.97 | 1 |" in result


def test_lower_is_better_where_the_metric_says_so() -> None:
    runs = seeded(1, 0.02, [1.0, 1.1], "baseline") + seeded(9, 0.3, [2.0, 2.1])
    facts = make_facts(runs, MetricConfig(name="val_accuracy", direction="min"))
    best = facts.account.best
    assert best is not None and best.mean == pytest.approx(1.05)
    assert "nothing is shown to be better than the baseline" in section(document(facts), "Result")


def test_confirmed_mean_outranks_a_lucky_seed() -> None:
    runs = [
        *seeded(1, 0.02, [0.90, 0.91, 0.905], "baseline"),
        *seeded(9, 0.3, [0.97, 0.96, 0.965]),
        *seeded(20, 0.5, [0.99], "lucky"),
    ]
    result = section(document(make_facts(runs)), "Result")
    roles = [line.split(" | ")[0] for line in result.splitlines() if line.startswith("| ")][2:]
    assert roles == ["| best", "| candidate", "| baseline"]
    assert "(n=3)" in result


def test_same_command_on_other_code_is_another_configuration() -> None:
    old, new = seeded(1, 0.1, [0.90, 0.91, 0.905], "baseline"), seeded(9, 0.1, [0.97, 0.98, 0.975])
    runs = [
        run.model_copy(update={"code": code})
        for code, group in (("old", old), ("new", new))
        for run in group
    ]
    gain = make_facts(runs).account.gain
    assert gain is not None and gain.gain == pytest.approx(0.07)
    assert "code new" in section(document(make_facts(runs)), "Result")
    assert make_facts([*old, *new]).account.gain is None


def test_seeds_are_found_in_command_lines_and_repeated_ones_count_once() -> None:
    runs = [
        make_run(1, 0.90, command="python t.py --lr 0.1 --seed 1", parameters={}, name="baseline"),
        make_run(2, 0.91, command="python t.py --lr 0.1 --seed=1", parameters={}),
        make_run(3, 0.92, command="python t.py --seed=2 --lr=0.1 --out=b", parameters={}),
    ]
    (group,) = make_facts(runs).account.configurations
    assert group.by_seed.keys() == {"1", "2"}
    assert group.estimate.values == [pytest.approx(0.905), 0.92]


def test_ablation_names_what_was_removed_and_what_it_cost() -> None:
    def with_drop(first: int, drop: float, values: list[float], name: str) -> list:
        return [
            make_run(
                first + seed,
                value,
                name=f"{name}-{seed}",
                parameters={"lr": 0.3, "drop": drop},
                seed=seed,
                sweep_id="s1" if "abl" in name else None,
            )
            for seed, value in enumerate(values)
        ]

    runs = [
        *seeded(1, 0.02, [0.90, 0.91, 0.905], "baseline"),
        *with_drop(9, 0.2, [0.97, 0.975, 0.98], "best"),
        *with_drop(20, 0.0, [0.93, 0.931, 0.929], "abl"),
    ]
    facts = make_facts(runs, sweep_texts={"s1": "P4 Ablation of the best"})
    text = section(document(facts), "Ablation")
    assert "drop: 0.2 -> 0.0" in text
    assert "-0.045" in text and "| needed |" in text
    assert "\n## Ablation\n" not in document(make_facts(runs))


def test_failures_are_counted_by_cause() -> None:
    failed = [
        make_run(n, status=RunStatus.FAILED, error="CUDA out of\nmemory", name=f"big-{n}")
        for n in (1, 2)
    ]
    missing = make_run(3, name="silent")
    text = section(document(make_facts([*failed, missing])), "Failures")
    assert "| CUDA out of memory | 2 |" in text
    assert "finished without val_accuracy" in text


def test_runs_that_shared_a_gpu_are_told() -> None:
    runs = [
        make_run(1, 0.9, gpus=["0"], started_at=10.0, finished_at=20.0),
        make_run(2, 0.9, gpus=["0"], started_at=15.0, finished_at=25.0),
    ]
    assert "shared GPU `0`" in section(document(make_facts(runs)), COMPARED)


def test_busy_and_quiet_runs_are_not_compared_without_a_warning() -> None:
    runs = seeded(1, 0.02, [0.90, 0.91], "baseline") + seeded(9, 0.3, [0.97, 0.975])
    text = section(document(make_facts(runs, busy={runs[0].id: "load 9 on 2 cores"})), COMPARED)
    assert "load 9 on 2 cores" in text and "**Warning**" in text and "by 1 run on" in text
    everywhere = {run.id: "load 9" for run in runs}
    assert "**Warning**" not in section(document(make_facts(runs, busy=everywhere)), COMPARED)


def test_each_call_names_its_commit_its_runs_and_their_metric() -> None:
    run = make_run(1, 0.9123)
    text = document(make_facts([run]))
    call = section(text, "Calls of the agent").partition("### iteration-01")[2]
    assert "`abcabcabcabc`" in call and run.id[:8] in call and "0.9123" in call
    assert "[iteration-01](#iteration-01)" in section(text, "Runs")


def test_cost_is_told_where_the_agent_tells_it() -> None:
    first = IterationRecord(
        index=0,
        kind="planning",
        started_at=1.0,
        cost_usd=0.25,
        cost_is_estimate=True,
        usage=Usage(input=10, output=5, cache_read=7, cache_write=2),
    )
    second = first.model_copy(update={"index": 1, "kind": "iteration", "cost_usd": None})
    text = document(make_facts([], session={"iterations": [first, second]}))
    assert "$0.25 (1 of 2 calls tell theirs, partly by list prices)" in text
    assert "24 in, 14 from the cache, 10 out" in text
    assert "cost not told" in document(make_facts([]))


def test_formula_in_a_name_is_no_formula_in_a_spreadsheet() -> None:
    (row,) = csv.DictReader(io.StringIO(runs_csv(make_facts([make_run(1, 0.9, name="=1+1")]))))
    assert row["name"] == "'=1+1"


def test_a_change_that_nobody_declares_is_named_by_the_summary_of_its_call(tmp_path: Path) -> None:
    facts = facts_of("branched", tmp_path)
    for call in facts.session.iterations:
        call.change, call.summary = None, f"- [x] [P1-T2] try number {call.index}\nand more of it"
    names = set(code_names(facts).values())
    assert names and all(re.fullmatch(r"try number \d+", name) for name in names)
    text = document(facts)
    assert any(f"| {name} |" in text for name in names)
