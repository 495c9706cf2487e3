"""Which steps remain, and what a run on the new branch says: functions of values."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.git.entries import GONE, Entry
from wildloop.flows.models.evidence import Estimate, Level
from wildloop.flows.models.take import BestToRun, Idea
from wildloop.flows.take.again import judged
from wildloop.flows.take.message import subject
from wildloop.flows.take.steps import Step, without_undone

Contents = dict[str, str]


def steps_between(states: list[Contents]) -> list[Step]:
    steps = []
    for at, (one, other) in enumerate(itertools.pairwise(states)):
        changes = tuple(
            Entry(name, one.get(name, GONE), other.get(name, GONE))
            for name in sorted(one.keys() | other.keys())
            if one.get(name) != other.get(name)
        )
        idea = Idea(iteration=at, label=f"i{at}", title=f"t{at}", status="keep")
        if changes:
            steps.append(Step(idea.title, "base", changes, idea))
    return steps


STATE = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"]))


@given(st.lists(STATE, min_size=1, max_size=8))
def test_what_remains_leads_to_the_same_files_and_comes_by_none_twice(
    states: list[Contents],
) -> None:
    steps = steps_between(states)
    found = without_undone(steps)
    seen, now = [dict(states[0])], dict(states[0])
    for step in found.steps:
        for one in step.changes:
            assert now.get(one.path, GONE) == one.before
            now[one.path] = one.after
        now = {name: text for name, text in now.items() if text != GONE}
        seen.append(dict(now))
    assert now == states[-1]
    assert all(seen.count(one) == 1 for one in seen)
    assert len(found.steps) + len(found.aside) == len(steps)


def best(value: float, low: float | None, high: float | None, n: int) -> BestToRun:
    spread = None if n < 2 else 0.01
    found = Estimate(values=[value] * n, mean=value, sd=spread, low=low, high=high)
    return BestToRun(run_id="r", run_name="r", command="c", value=value, estimate=found,
                     configuration="c", level=Level.MEASURED)  # fmt: skip


def test_a_value_is_within_the_interval_or_the_same_or_it_is_not_the_best_s() -> None:
    several, single = best(0.9, 0.88, 0.92, 3), best(0.9, None, None, 1)
    for known, value, is_within, said in (
        (several, 0.9, True, "as in the night"),
        (several, 0.91, True, "within the best's 95 % interval 0.88 to 0.92"),
        (several, 0.93, False, "not within the best's 95 % interval"),
        (several, None, False, "gave no score"),
        (single, 0.9, True, "as in the night"),
        (single, 0.901, False, "no spread to compare it by"),
    ):
        found = judged(known, "r2", "c" * 40, "score", value)
        assert (found.is_within, said in found.text) == (is_within, True), found.text


def test_a_subject_is_one_short_line() -> None:
    assert subject("Short.") == "Short"
    assert subject("two\nlines  here") == "two lines here"
    long = subject("word " * 40)
    assert len(long) <= 72 and long.endswith("word…")
    assert len(subject("x" * 100)) == 72 and subject("x") == "x"
    assert subject("") == "no summary"
