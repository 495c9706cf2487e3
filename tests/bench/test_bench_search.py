"""bench/search: problems that give the same twice, all runs counted, regrets that are shares."""

import math

import pytest

from bench.search import rivals
from bench.search.__main__ import ALL, FAMILIES, OURS
from bench.search.problems import reference
from bench.search.session import recommended
from bench.search.table import Cell, summaries

BUDGET = 8


@pytest.mark.parametrize("name", ALL)
def test_a_problem_measures_the_same_twice_and_knows_its_truth(name: str) -> None:
    one, again = ALL[name](1), ALL[name](1)
    assert one.baseline == again.baseline
    for values in [one.baseline, *reference(one.space, 3)[:3]]:
        assert one.measure(values, 5) == again.measure(values, 5)
    assert math.isfinite(one.truth(one.baseline))
    assert one.project.base() == one.baseline


def test_what_the_agent_was_designed_on_and_what_was_held_back_are_disjoint() -> None:
    assert not set(FAMILIES["designed"]) & set(FAMILIES["others"])
    assert len(FAMILIES["others"]) >= 6


def test_a_session_recommends_within_its_budget_and_again_the_same() -> None:
    problem = ALL["table"](0)
    values, used = recommended(problem, BUDGET, 0)
    assert used <= BUDGET
    assert all(one.has(values[name]) for name, one in problem.project.search.items())
    assert recommended(problem, BUDGET, 0) == (values, used)


@pytest.mark.parametrize("name", rivals.SAMPLERS)
def test_a_rival_begins_with_the_baseline_and_makes_each_run_that_it_may(name: str) -> None:
    problem = ALL["unstable"](0)
    tried = rivals.search(problem, name, BUDGET, 0)
    assert len(tried) == BUDGET and tried[0].values == problem.baseline
    assert rivals.best_seen(tried) in [one.values for one in tried]


def test_regret_is_nothing_where_all_are_worth_the_same() -> None:
    cells = [Cell("p", 0, name, 8, 0.8, 0.8, 0.8, 8) for name in (OURS, "random")]
    found = summaries(cells, 8, OURS)
    assert [one.regret for one in found] == [0.0, 0.0]
    assert [one.rank for one in found] == [1.5, 1.5] and not any(one.worse for one in found)
