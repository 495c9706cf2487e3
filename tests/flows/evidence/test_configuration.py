"""One identity of what ran."""

from typing import Any

import pytest

from tests.support.records import made_run
from wildloop.flows.evidence.configuration import Configuration, configurations, name_codes
from wildloop.flows.models.run import Run, RunStatus


def one(*runs: Run) -> Configuration:
    (found,) = configurations(runs, "score")
    return found


def test_seeds_of_one_configuration_are_one() -> None:
    runs = [
        made_run(n, score, parameters={"lr": 0.1, "seed": n}) for n, score in ((1, 0.5), (2, 0.7))
    ]
    runs += [made_run(3, 0.9, parameters={"seed": 0, "lr": 0.3}), made_run(4, parameters={"lr": 1})]
    found = configurations(runs, "score")
    assert [(each.label, each.n, len(each.runs)) for each in found] == [
        ("lr=0.1", 2, 2),
        ("lr=0.3", 1, 1),
        ("lr=1", 0, 1),
    ]
    assert found[0].score == "0.6 ± 0.14 (n=2)"


@pytest.mark.parametrize(
    "other", [{"code": "b"}, {"environment": "x"}, {"command": "python other.py"}]
)
def test_other_files_another_environment_and_another_program_are_another(
    other: dict[str, Any],
) -> None:
    same = {"code": "a", "command": "python train.py"}
    runs = [made_run(1, 0.5, **same), made_run(2, 0.5, **(same | other))]
    assert len(configurations(runs, "score")) == 2


def test_neither_folder_nor_commit_nor_name_tell_configurations_apart_where_the_code_is_known() -> (
    None
):
    runs = [
        made_run(n, 0.5, code="a", workdir=f"/w/{n}", git_commit=str(n) * 40, seed=n)
        for n in (1, 2, 3)
    ]
    assert one(*runs).n == 3


def test_runs_of_unknown_code_belong_nowhere() -> None:
    assert configurations([made_run(1, 0.5, code="a", code_note="x changed")], "score") == []
    waiting = made_run(2, status=RunStatus.QUEUED, started_at=None)
    assert configurations([waiting], "score") == []


def test_a_seed_that_ran_twice_counts_once_and_is_told_if_it_differs() -> None:
    found = one(made_run(1, 0.8, seed=1), made_run(2, 0.9, seed=1), made_run(3, 0.7, seed=2))
    assert found.estimate.values == [pytest.approx(0.85), 0.7]
    assert (found.n, found.not_reproducible, len(found.repeats)) == (2, ["1"], 1)


def test_runs_without_a_seed_count_each_but_equal_values_once() -> None:
    found = one(made_run(1, 0.9), made_run(2, 0.9), made_run(3, 0.8))
    assert found.estimate.values == [0.9, 0.8]
    assert found.estimate.seeds == ["run id-0001", "run id-0003"]


def test_what_ends_as_nan_is_no_value_and_its_seed_is_missing() -> None:
    found = one(
        made_run(1, float("nan"), seed=1), made_run(2, 0.2, seed=2), made_run(3, None, seed=3)
    )
    assert (found.estimate.values, found.missing_seeds) == ([0.2], ["1", "3"])
    mended = one(made_run(1, None, seed=1), made_run(2, 0.2, seed=1))
    assert mended.missing_seeds == []


def test_the_seed_that_chose_is_told_from_those_that_confirm() -> None:
    def at(created: float, seed: int) -> Run:
        return made_run(
            int(created), 0.5 + seed / 100, seed=seed, created_at=created, finished_at=created + 10
        )

    chosen = one(at(0, 0), at(100, 1), at(101, 2))
    assert chosen.choosing == ["0"]
    assert chosen.confirming is not None and chosen.confirming.seeds == ["1", "2"]
    assert chosen.compared is chosen.confirming and chosen.is_testable
    single = one(at(0, 0), at(100, 1))
    assert single.compared is single.estimate and not single.is_testable
    together = one(at(0, 0), at(1, 1), at(40, 2))
    assert together.choosing == [], "made in one call of the agent, though one had ended"


def test_calls_tell_whether_a_later_seed_was_a_choice() -> None:
    runs = [
        made_run(n, 0.5, seed=n, created_at=created, finished_at=created + 1.0)
        for n, created in ((0, 0.0), (1, 5.0), (2, 5.5))
    ]
    calls = {"id-0000": "iteration-01", "id-0001": "iteration-02", "id-0002": "iteration-02"}
    (found,) = configurations(runs, "score", calls)
    assert found.choosing == ["0"]


def test_codes_are_named_where_there_are_several() -> None:
    runs = [made_run(n, 0.5, code=code) for n, code in ((1, "aaaaaaaaaa"), (2, "bbbbbbbbbb"))]
    found = configurations(runs, "score", {"id-0002": "iteration-02"})
    name_codes(found)
    assert [each.code_name for each in found] == [
        "code aaaaaaa",
        "code bbbbbbb, since iteration-02",
    ]
