"""Runs by configuration."""

import pytest

from flows.configurations.groups import (
    baseline_of,
    configurations,
    declared_code,
    pooled_deviation,
    ranked,
)
from tests.support.records import made_record, made_run


def test_seeds_of_one_configuration_are_one_group() -> None:
    runs = [
        made_run(n, score, parameters={"lr": 0.1, "seed": n}) for n, score in ((1, 0.5), (2, 0.7))
    ]
    runs += [made_run(3, 0.9, parameters={"seed": 0, "lr": 0.3}), made_run(4, parameters={"lr": 1})]
    found = configurations(runs, "score")
    assert [(one.label, one.n, len(one.runs)) for one in found] == [
        ("lr=0.1", 2, 2),
        ("lr=0.3", 1, 1),
        ("lr=1", 0, 1),
    ]
    assert (found[0].mean, found[0].deviation) == (
        pytest.approx(0.6),
        pytest.approx(0.1414, abs=1e-4),
    )
    assert (found[1].deviation, found[2].mean) == (None, None)
    assert found[0].score == "0.6 ± 0.14 (n=2)"


def test_a_declared_change_of_code_begins_another_configuration() -> None:
    runs = [made_run(n, 0.5, parameters={"lr": 0.1}) for n in (1, 5, 9)]
    records = [made_record(4, "hyper-parameter"), made_record(6, "architecture")]
    found = configurations(runs, "score", declared_code(records))
    assert [(one.name, one.n) for one in found] == [
        ("lr=0.1", 2),
        ("lr=0.1 (code of iteration-06)", 1),
    ]


def test_code_that_was_taken_back_counts_until_then() -> None:
    runs = [made_run(n, 0.5, parameters={"lr": 0.1}) for n in (1, 7, 9)]
    records = [made_record(6, "architecture", taken_back_at=8.0)]
    found = configurations(runs, "score", declared_code(records))
    assert [(one.code, one.n) for one in found] == [("", 2), ("iteration-06", 1)]


def test_nan_is_no_value() -> None:
    runs = [made_run(1, float("nan")), made_run(2, float("inf")), made_run(3, 0.2)]
    assert configurations(runs, "score")[0].values == [0.2]


def test_order_and_baseline() -> None:
    runs = [
        made_run(1, 0.5, parameters={"lr": 1}),
        made_run(2, 0.9, parameters={"lr": 2}),
        made_run(3, 0.4, parameters={"lr": 3}, name="p1-baseline-s0"),
    ]
    found = configurations(runs, "score")
    assert [one.label for one in ranked(found, "max")] == ["lr=2", "lr=1", "lr=3"]
    assert [one.label for one in ranked(found, "min")] == ["lr=3", "lr=1", "lr=2"]
    base, first = baseline_of(found), baseline_of(found[:2])
    assert base is not None and first is not None
    assert (base.label, first.label) == ("lr=3", "lr=1")
    assert baseline_of([]) is None


def test_pooled_deviation() -> None:
    runs = [made_run(n, score, parameters={"a": n // 3}) for n, score in enumerate([1, 2, 3, 5, 7])]
    assert pooled_deviation(configurations(runs, "score")) == pytest.approx(
        ((2 * 1.0 + 1 * 2.0) / 3) ** 0.5
    )
    assert pooled_deviation(configurations(runs[:1], "score")) is None


def test_a_seed_that_was_run_twice_is_one_sample_and_runs_without_seed_are_one_each() -> None:
    runs = [made_run(n, n / 10, parameters={"seed": n // 3}) for n in (1, 2, 3)]
    (seeded,) = configurations(runs, "score")
    assert seeded.values == [0.2, 0.3]
    assert [run.name for run in seeded.measured] == ["run-2", "run-3"]
    assert len(seeded.runs) == 3
    (plain,) = configurations([made_run(1, 0.5), made_run(2, 0.5)], "score")
    assert plain.values == [0.5, 0.5]


def test_code_that_is_known_tells_more_than_the_folder() -> None:
    runs = [made_run(n, 0.5, workdir=f"/snapshots/{n}") for n in (1, 2, 3)]
    assert len(configurations(runs, "score")) == 3
    digests = {"id-0001": "a", "id-0002": "a", "id-0003": "b"}
    found = configurations(runs, "score", lambda run: digests[run.id])
    assert [(one.code, one.n) for one in found] == [("a", 2), ("b", 1)]
