"""Once all is decided: best and baseline on seeds that decide nothing, which tell the gain."""

import statistics

import pytest

from tests.support.records import made_run
from wildloop.flows.evidence.account import Account, Branch, Contract
from wildloop.flows.evidence.confirm import wanted_further
from wildloop.flows.evidence.shown import shown_of
from wildloop.flows.evidence.target import Target
from wildloop.flows.evidence.texts import findings, headline, target_line
from wildloop.flows.evidence.view import view_of
from wildloop.flows.models.own_runs import OwnRuns, own_id
from wildloop.flows.models.run import Run
from wildloop.flows.project import MetricConfig

PROJECT = "python3 train.py"
CONTRACT = Contract(
    MetricConfig(name="score"),
    command=PROJECT,
    is_guarded=True,
    confirms=True,
    target=Target(value=0.795, direction="max"),
)


def group(first: int, values: list[float], lr: int, own: OwnRuns | None = None) -> list[Run]:
    parent = f"{'base' if lr == 1 else 'good'}" if own else None
    return [
        made_run(
            first + n,
            value,
            command=f"{PROJECT} --lr {lr} --seed {first + n}",
            code="c",
            chat_session_id=own_id("s", own) if own else "s",
            parent_run_id=parent,
        )
        for n, value in enumerate(values)
    ]


AGENTS = [*group(0, [0.70, 0.72, 0.71], 1), *group(10, [0.80, 0.81, 0.79], 2)]
AGENTS[0] = AGENTS[0].model_copy(update={"id": "base"})
AGENTS[3] = AGENTS[3].model_copy(update={"id": "good"})
DECIDED = [
    *AGENTS,
    *group(100, [0.70, 0.71, 0.72], 1, OwnRuns.CONFIRM),
    *group(110, [0.80, 0.81, 0.82], 2, OwnRuns.CONFIRM),
]
OLD, NEW = [0.69, 0.70, 0.71], [0.78, 0.79, 0.80]
FURTHER = [
    *group(200, OLD, 1, OwnRuns.FURTHER),
    *group(200, NEW, 2, OwnRuns.FURTHER),
]


def account_of(further: list[Run], branch: Branch | None = None) -> Account:
    return Account(DECIDED, CONTRACT, branch, further=further)


def test_gain_and_means_are_told_by_the_seeds_that_decided_nothing() -> None:
    before, found = account_of([]), account_of(FURTHER)
    assert before.gain is not None and found.gain is not None
    assert before.gain.gain == pytest.approx(0.10) and before.gain.further == 0
    assert found.gain.gain == pytest.approx(statistics.mean(NEW) - statistics.mean(OLD))
    assert (found.gain.further, found.gain.p) == (3, before.gain.p)
    assert found.gain.established and found.best is not None and found.best.label == "lr=2"
    text = headline(found)
    assert text.startswith("score 0.79 ± 0.01 (n=3) (lr=2), +0.09 on what stands for the baseline")
    assert "by 3 further seeds of each, which have decided nothing; by those that decided p" in text
    assert "too high" not in text and "too high" in headline(before)
    shown = shown_of(found, "digest")
    assert shown.best is not None and shown.baseline is not None
    assert (shown.best.value, shown.best.n) == (pytest.approx(0.79), 3)
    assert shown.baseline.value == pytest.approx(0.70)
    assert "0.79 ± 0.01 (n=3), 95 % interval" in (target_line(found) or "")
    assert [line.count(", by 3 further seeds") for line in findings(found)] == [1]
    view = {one.label: one for one in view_of(found, "s").configurations}
    assert view["lr=2"].estimate.mean == pytest.approx(0.81)
    assert view["lr=2"].further is not None and view["lr=2"].further.values == NEW


def test_what_decided_stays_as_it_was() -> None:
    before, found = account_of([]), account_of(FURTHER)
    for one in before.configurations:
        other = found.by_id[one.id]
        assert (other.compared, other.level, len(other.runs)) == (
            one.compared,
            one.level,
            len(one.runs),
        )


def test_a_gain_that_the_further_seeds_lack_is_told_as_such() -> None:
    lost = [*FURTHER[:3], *group(200, [0.68, 0.69, 0.70], 2, OwnRuns.FURTHER)]
    assert "THE FURTHER SEEDS DO NOT BEAR IT OUT" in headline(account_of(lost))
    assert "BEAR" not in headline(account_of(FURTHER))


@pytest.mark.parametrize("what", ["one seed", "one side", "other code", "a bent environment"])
def test_what_is_not_enough_or_not_sound_tells_nothing(what: str) -> None:
    further = {
        "one seed": [FURTHER[0], FURTHER[3]],
        "one side": FURTHER[3:],
        "other code": [run.model_copy(update={"code": "d"}) for run in FURTHER],
        "a bent environment": [
            run.model_copy(update={"variables": ["LD_PRELOAD"]}) for run in FURTHER
        ],
    }[what]
    assert headline(account_of(further)) == headline(account_of([]))


def test_with_keep_the_branchs_gain_is_told_by_them_too() -> None:
    plain = account_of([])
    base, best = plain.by_run["base"], plain.by_run["good"]
    branch = Branch(best=best.id, baseline=base.id, comparison=plain.compare(best, base))
    found = account_of(FURTHER, branch)
    assert found.gain is not None and found.gain.further == 3 and found.gain.established


def test_they_are_wanted_once_a_gain_is_confirmed_and_while_there_is_time() -> None:
    wanted = wanted_further(account_of([]), 5, 1800.0)
    assert [(one.configuration.label, one.runs) for one in wanted] == [("lr=1", 5), ("lr=2", 5)]
    each = sum(one.configuration.seconds for one in wanted)
    assert [one.runs for one in wanted_further(account_of([]), 5, 3.5 * each)] == [3, 3]
    assert wanted_further(account_of([]), 5, 1.5 * each) == []
    assert wanted_further(Account(AGENTS, CONTRACT), 5, 1800.0) == []
    flat = [run.model_copy(update={"metrics": {"score": 0.7}}) for run in DECIDED]
    assert wanted_further(Account(flat, CONTRACT), 5, 1800.0) == []
