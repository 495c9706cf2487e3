"""Plateaus, and one kind of change over and over."""

import pytest

from flows.diversity import diversity_section, near_misses, same_kind, undeclared
from flows.models.change import ChangeKind
from flows.project import MetricConfig
from tests.support.records import made_record, made_run

METRIC = MetricConfig(name="score")


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ("", None),
        ("aa", None),
        ("aaa", "architecture"),
        ("daaa", "architecture"),
        ("aaad", None),
        ("ana-a", "architecture"),
        ("ada", None),
        ("nnn", None),
    ],
)
def test_the_same_kind_three_times(kinds: str, found: str | None) -> None:
    names = {"a": "architecture", "d": "data", "n": "none", "-": None}
    records = [made_record(number, names[one]) for number, one in enumerate(kinds, 1)]
    kind = same_kind(records)
    assert (kind.value if kind else None) == found


def test_calls_of_one_iteration_are_one_change() -> None:
    records = [made_record(1, "data", turn=turn) for turn in (1, 2, 3)]
    assert same_kind(records) is None
    assert undeclared([made_record(1, "data"), made_record(1, None, turn=2)]) is None


def test_an_undeclared_change_is_told_but_not_an_idle_iteration() -> None:
    assert undeclared([made_record(1, None)]) == "iteration-01"
    assert undeclared([made_record(1, None, files_changed=0)]) is None
    assert undeclared([made_record(1, None, files_changed=0, run_ids=["r"])]) == "iteration-01"
    assert undeclared([]) is None
    text = diversity_section([made_record(1, None)], [], METRIC)
    assert "iteration-01 did not say what kind" in text


def test_nothing_is_said_when_all_is_well() -> None:
    records = [made_record(1, "data"), made_record(2, "architecture")]
    assert diversity_section(records, [made_run(1, 0.5)], METRIC) == ""
    assert diversity_section([], [], None) == ""


def test_a_plateau_names_near_misses_and_other_kinds() -> None:
    scores = [(0.1, 0.90), (0.1, 0.92), (0.3, 0.90), (0.3, 0.91), (0.5, 0.3), (0.7, 0.89)]
    runs = [
        made_run(n, score, parameters={"lr": lr, "seed": n}) for n, (lr, score) in enumerate(scores)
    ]
    runs += [made_run(n + 9, 0.2, parameters={"lr": 2, "seed": n}) for n in range(5)]
    records = [made_record(n, "hyper-parameter") for n in (1, 2)] + [made_record(30, "data")]
    text = diversity_section(records, runs, METRIC)
    assert "has not improved in the last 5 finished runs" in text
    assert "- lr=0.1: score 0.91 ± 0.014 (n=2)\n- lr=0.3: score 0.905 ± 0.0071 (n=2)" in text
    assert "lr=0.5" not in text
    assert "hyper-parameter 2" in text
    assert "such as architecture or optimiser" in text


def test_near_misses_without_a_known_spread_are_the_best_few() -> None:
    runs = [made_run(n, n / 10, parameters={"lr": n}) for n in range(9)]
    found = near_misses([], runs, MetricConfig(name="score", direction="min"))
    assert [one.label for one in found] == ["lr=0", "lr=1", "lr=2", "lr=3", "lr=4"]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("Hyper-Parameters", ChangeKind.HYPER_PARAMETER),
        ("hyperparameter", ChangeKind.HYPER_PARAMETER),
        ("optimizer", ChangeKind.OPTIMISER),
        ("Regularization", ChangeKind.REGULARISATION),
        ("arch", ChangeKind.ARCHITECTURE),
        ("data", ChangeKind.DATA),
        ("none", ChangeKind.NONE),
        ("fun", None),
        ("", None),
    ],
)
def test_spellings_of_kinds(word: str, kind: ChangeKind | None) -> None:
    assert ChangeKind.read(word) is kind
