"""Plateaus, and one kind of change over and over."""

import pytest

from tests.support.records import made_account, made_record, made_run
from wildloop.flows.models.change import ChangeKind
from wildloop.flows.struggle.diversity import diversity_section, same_kind, undeclared


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
    text = diversity_section([made_record(1, None)], made_account([]))
    assert "iteration-01 did not say what kind" in text
    waits = made_record(1, None, promise="WAITING")
    assert diversity_section([waits], made_account([])) == ""


def test_nothing_is_said_when_all_is_well() -> None:
    records = [made_record(1, "data"), made_record(2, "architecture")]
    assert diversity_section(records, made_account([made_run(1, 0.5)])) == ""
    assert diversity_section([], made_account([])) == ""


def test_a_plateau_names_what_looks_better_and_other_kinds() -> None:
    runs = [made_run(n, 0.90 + n / 100, parameters={"lr": 0.1, "seed": n}) for n in (1, 2)]
    runs += [made_run(3, 0.93, parameters={"lr": 0.3, "seed": 1})]
    runs += [made_run(n + 9, 0.2, parameters={"lr": n + 2, "seed": n}) for n in range(5)]
    records = [made_record(n, "hyper-parameter") for n in (1, 2)] + [made_record(30, "data")]
    text = diversity_section(records, made_account(runs))
    assert "None of the last 5 configurations tried has improved the primary metric" in text
    assert "- lr=0.1: score 0.915 ± 0.0071 (n=2)\n- lr=0.3: score 0.93 (n=1)" in text
    assert "lr=4" not in text
    assert "hyper-parameter 2" in text
    assert "such as architecture or optimiser" in text


def test_seeds_of_one_idea_are_no_plateau() -> None:
    runs = [made_run(1, 0.9, parameters={"lr": 0.1, "seed": 1})]
    runs += [made_run(n, 0.5, parameters={"lr": 0.3, "seed": n}) for n in range(2, 9)]
    assert diversity_section([made_record(1, "data")], made_account(runs)) == ""


def test_what_is_archived_or_withdrawn_is_no_try() -> None:
    for out in ({"is_archived": True}, {"withdrawn": "wrong data"}):
        runs = [made_run(1, 0.9, parameters={"lr": 0.1})]
        runs += [made_run(n, 0.5, parameters={"lr": n}, **out) for n in range(2, 9)]
        assert diversity_section([made_record(1, "data")], made_account(runs)) == ""


def test_a_line_that_improves_is_not_told_to_change_its_kind() -> None:
    records = [made_record(n, "architecture", run_ids=[f"id-{n:04d}"]) for n in (1, 2, 3)]
    base = made_run(0, 0.1, parameters={"lr": 9})
    better = [made_run(n, 0.1 + n / 10, parameters={"lr": n}) for n in (1, 2, 3)]
    assert diversity_section(records, made_account([base, *better])) == ""
    worse = [made_run(n, 0.05, parameters={"lr": n}) for n in (1, 2, 3)]
    text = diversity_section(records, made_account([base, *worse]))
    assert "the same kind of change, and none of them gave a new best: architecture" in text
    waiting = [*records[:2], records[2].model_copy(update={"promise": "WAITING"})]
    assert diversity_section(waiting, made_account([base, *worse])) == ""


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
