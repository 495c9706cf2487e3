"""The one account: baseline, best, candidates, ties, corrections."""

from typing import Any

import numpy as np
import pytest

from tests.support.records import made_run
from wildloop.flows.evidence.account import Account, Branch, Contract
from wildloop.flows.evidence.target import Target, reached, target_of
from wildloop.flows.evidence.texts import candidate_lines, findings, headline, notes, target_line
from wildloop.flows.evidence.view import view_of
from wildloop.flows.models.evidence import Direction, Standing
from wildloop.flows.models.guard import parse_guard
from wildloop.flows.models.run import Run
from wildloop.flows.project import MetricConfig


def seeded(name: str, first: int, values: list[float], **parameters: Any) -> list[Run]:
    """A configuration that was run on so many seeds at once."""
    return [
        made_run(
            first + seed,
            value,
            name=f"{name}-{seed}",
            parameters=parameters,
            seed=seed,
            created_at=float(first),
        )
        for seed, value in enumerate(values)
    ]


def account(*groups: list[Run], direction: Direction = "max", **contract: Any) -> Account:
    metric = MetricConfig(name="score", direction=direction)
    return Account([run for group in groups for run in group], Contract(metric, **contract))


BASE = seeded("baseline", 0, [0.70, 0.72, 0.71], lr=0.1, width=8)
TUNED = seeded("tuned", 10, [0.78, 0.79, 0.785], lr=0.3, width=8)
LUCKY = seeded("lucky", 20, [0.83], lr=0.9, width=8)
CONTROL = seeded("control", 30, [0.712, 0.716, 0.709, 0.713, 0.72, 0.714], lr=0.1, width=32)


def test_the_best_is_what_is_shown_to_be_better_not_what_has_most_seeds() -> None:
    found = account(BASE, TUNED, LUCKY, CONTROL)
    assert found.best is not None and found.best.label == "lr=0.3, width=8"
    gain = found.gain
    assert gain is not None and gain.p is not None
    assert (gain.gain, gain.p < 0.001, gain.tried) == (pytest.approx(0.075), True, 2)
    standings = {one.label: found.standing(one) for one in found.configurations}
    assert standings == {
        "lr=0.1, width=8": Standing.BASELINE,
        "lr=0.3, width=8": Standing.BEST,
        "lr=0.9, width=8": Standing.CANDIDATE,
        "lr=0.1, width=32": Standing.UNDECIDED,
    }
    assert [one.label for one in found.candidates] == ["lr=0.9, width=8"]
    assert "seed" in candidate_lines(found)[0]
    assert "+0.075" in headline(found) and "0.785 ± 0.005 (n=3)" in headline(found)


def test_ties_go_to_the_simplest_and_are_told() -> None:
    rows = [("base", 0.1, 8, 0.9), ("a", 0.9, 64, 1.0), ("b", 0.3, 64, 1.0), ("c", 0.1, 32, 1.0)]
    groups = [
        seeded(name, 10 * place, [value] * 3, lr=lr, width=width)
        for place, (name, lr, width, value) in enumerate(rows)
    ]
    found = account(*groups)
    assert found.is_exact
    assert found.best is not None and found.best.label == "lr=0.1, width=32"
    assert len(found.ties) == 3
    assert "as good, with more changes from the baseline: lr=0.9, width=64" in headline(found)
    assert "exact" in headline(found)
    assert len(view_of(found, "s").ties) == 3
    # Where the metric has no spread, one run each is enough.
    single = account(groups[0], groups[1][:1])
    assert single.gain is not None and single.gain.established


@pytest.mark.parametrize(
    ("lines", "seconds", "best", "why"),
    [
        ((40, 55), (2.0, 1.0), "lr=0.3", "with 15 more lines of code"),
        ((40, 40), (2.0, 1.0), "lr=0.5", "by slower runs (2 s against 1 s)"),
        ((40, None), (2.0, 1.0), "lr=0.5", "by slower runs"),
        ((40, 40), (1.0, 1.0), "lr=0.3", "tried later"),
    ],
)
def test_of_as_many_changes_lines_of_code_decide_then_time(
    lines: tuple[int, int | None], seconds: tuple[float, float], best: str, why: str
) -> None:
    groups = [
        [
            run.model_copy(
                update={"code_lines": count, "code": str(count), "finished_at": run.started_at + s}
            )
            for run in seeded("one", 10 * place, [1.0] * 3, lr=lr)
            if run.started_at is not None
        ]
        for place, (lr, count, s) in enumerate(zip((0.3, 0.5), lines, seconds, strict=True), 1)
    ]
    # Each differs from the baseline by a setting, and by code.
    base = seeded("base", 0, [0.9] * 3, lr=0.1)
    found = account([run.model_copy(update={"code": "old"}) for run in base], *groups)
    assert found.best is not None and found.best.label == best
    assert f"as good, {why}" in headline(found)


def test_a_run_that_is_named_baseline_is_none_and_a_failed_baseline_is_not_replaced() -> None:
    late = seeded("baseline-again", 40, [0.1, 0.1, 0.2], lr=9)
    found = account(BASE, late)
    assert found.baseline is not None and found.baseline.label == "lr=0.1, width=8"
    failed = [made_run(0, None, parameters={"lr": 1})]
    found = account(failed, TUNED)
    assert found.baseline is not None and found.baseline.label == "lr=1"
    assert (found.best, found.comparisons) == (None, {})
    assert "has no value" in headline(found)
    # Its own settings, run again on mended code, are the baseline's.
    again = seeded("again", 50, [0.7, 0.71], lr=1)
    again = [run.model_copy(update={"code": "mended"}) for run in again]
    found = account(failed, TUNED, again)
    assert found.baseline is not None and found.baseline.n == 2


def test_the_baseline_is_what_wildloop_toml_names() -> None:
    found = account(TUNED, BASE, baseline={"lr": 0.1, "width": 8})
    assert found.baseline is not None and found.baseline.label == "lr=0.1, width=8"


def test_nothing_better_leaves_the_baseline() -> None:
    found = account(BASE, CONTROL)
    assert found.best is found.baseline and found.gain is None
    assert headline(found).startswith("nothing is shown to be better than the baseline")
    assert findings(found) == []


def test_tests_are_corrected_after_holm_over_what_can_be_tested() -> None:
    rng = np.random.default_rng(1)
    others = [
        seeded(f"x{n}", 100 + 10 * n, list(rng.normal(0.71, 0.01, 3)), lr=n + 2) for n in range(9)
    ]
    singles = [seeded(f"y{n}", 300 + 10 * n, [0.7], lr=n + 50) for n in range(5)]
    found = account(BASE, TUNED, *others, *singles)
    assert found.gain is not None and found.gain.limit == pytest.approx(0.05 / 10)
    assert found.gain.tried == 10
    limits = sorted(one.limit for one in found.comparisons.values() if one.tried == 10)
    assert limits == pytest.approx([0.05 / max(2, n) for n in range(10, 0, -1)])


def test_with_keep_the_best_is_what_the_branch_holds() -> None:
    old = [run.model_copy(update={"code": "old"}) for run in BASE]
    faulty = [run.model_copy(update={"code": "faulty"}) for run in TUNED]
    metric = MetricConfig(name="score")
    first = Account([*old, *faulty], Contract(metric)).configurations[0]
    branch = Branch(best=first.id, baseline=first.id)
    found = Account([*old, *faulty], Contract(metric), branch)
    assert found.best is not None and found.best.code == "old"
    assert found.standing(found.configurations[1]) is Standing.OFF_BRANCH
    assert (found.gain, found.candidates) == (None, [])


def test_what_is_withdrawn_and_what_is_of_unknown_code_is_told_and_not_claimed() -> None:
    taken = [run.model_copy(update={"withdrawn": "wrong data"}) for run in TUNED]
    unknown = [run.model_copy(update={"code_note": "train.py changed"}) for run in LUCKY]
    found = account(BASE, taken, unknown)
    assert found.best is found.baseline and found.candidates == []
    told = notes(found)
    assert any("withdrawn: wrong data" in note for note in told)
    assert any("unknown code" in note and "train.py changed" in note for note in told)
    assert [one.run_id for one in view_of(found, "s").not_compared] == ["id-0020"]


def test_a_configuration_without_a_value_for_each_seed_is_not_claimed() -> None:
    half = [*TUNED, made_run(14, None, parameters={"lr": 0.3, "width": 8}, seed=9)]
    found = account(BASE, half)
    assert found.best is found.baseline
    assert found.standing(found.configurations[1]) is Standing.INCOMPLETE


@pytest.mark.parametrize(
    ("goal", "direction", "value", "inclusive"),
    [
        ("Get val accuracy above 0.97 under 1M parameters", "max", 0.97, False),
        ("at least 97 % please", "max", 0.97, True),
        ("score >= 3", "max", 3.0, True),
        ("bring the loss below 1e-2", "min", 0.01, False),
        ("at most 0.3.", "min", 0.3, True),
    ],
)
def test_the_goals_number_is_the_target(
    goal: str, direction: Direction, value: float, inclusive: bool
) -> None:
    target = target_of(goal, direction)
    assert target is not None
    assert (target.value, target.inclusive) == (pytest.approx(value), inclusive)
    assert target.met_by(target.value) is inclusive


@pytest.mark.parametrize(
    "goal", ["make it better", "above 0.9, then above 0.95", "below 0.1", "above 3M", ""]
)
def test_a_goal_without_one_clear_number_sets_no_target(goal: str) -> None:
    assert target_of(goal, "max") is None


def test_the_target_is_reached_by_the_interval_not_by_the_mean() -> None:
    def told(value: float) -> str | None:
        return account(BASE, TUNED, target=Target(value=value, direction="max")).target_verdict

    assert [told(0.7), told(0.784), told(0.9)] == ["reached", "undecided", "not reached"]
    assert account(BASE).target_verdict is None
    line = target_line(account(BASE, TUNED, target=Target(value=0.784, direction="max")))
    assert line is not None and line.startswith("target score above 0.784: undecided (0.785")
    single = account(LUCKY, target=Target(value=0.1, direction="max"))
    assert single.target_verdict == "undecided"
    equal = seeded("two", 0, [0.5, 0.5], lr=1)
    few = account(equal, target=Target(value=0.4, direction="max"))
    assert few.target_verdict == "undecided", "two equal values are no interval"
    exact = Target(value=0.9, direction="max")
    assert reached(exact, account(seeded("x", 0, [0.9], a=1)).configurations[0].estimate, True)


def test_a_session_of_noise_shows_nothing_mostly() -> None:
    rng = np.random.default_rng(7)
    claims = 0
    for _ in range(60):
        groups = [seeded(f"x{n}", 10 * n, list(rng.normal(0, 1, 3)), lr=n + 1.5) for n in range(12)]
        found = account(*groups)
        claims += found.best is not found.baseline or bool(findings(found))
    assert claims / 60 < 0.12


def test_the_baseline_is_its_command_on_the_code_of_the_beginning() -> None:
    def of(name: str, first: int, code: str, command: str = "python train.py") -> list[Run]:
        found = seeded(name, first, [0.7, 0.71], lr=first)
        return [run.model_copy(update={"code": code, "command": command}) for run in found]

    sabotaged = of("baseline-again", 0, "edited")
    other = of("baseline", 10, "begun", "python other.py")
    true = of("x", 20, "begun", "/usr/bin/python3.11 train.py --lr 0.1")
    found = account(sabotaged, other, true, command="python train.py", code="begun")
    assert found.baseline is not None and found.baseline.runs[0].name == "x-0"
    # The same program with a setting of its own only stands for it.
    assert not found.has_true_baseline
    assert "(its own command has not run)" in headline(found)
    plain = {"parameters": {}, "command": "python3 train.py"}
    exact = [run.model_copy(update=plain) for run in true]
    found = account(sabotaged, other, exact, command="python train.py", code="begun")
    assert found.has_true_baseline and "than the baseline" in headline(found)
    # The command as it is, beside the settings that wildloop.toml writes out.
    found = account(exact, command="python train.py", code="begun", baseline={"lr": 0.1})
    assert found.has_true_baseline
    found = account(sabotaged, other, command="python train.py", code="begun")
    assert found.baseline is not None and not found.has_true_baseline
    assert any("stands for the baseline" in note for note in notes(found))


def test_what_breaks_a_guard_is_no_best_and_is_told() -> None:
    guard = parse_guard("memory_mb no more than the baseline's by 10 %")
    large = seeded("large", 40, [0.88, 0.89, 0.885], lr=0.3, width=64)
    runs = [[run.model_copy(deep=True) for run in one] for one in (BASE, TUNED, large)]
    for group, memory in zip(runs, (100.0, 105.0, 180.0), strict=True):
        for run in group:
            run.metrics["memory_mb"] = memory
    found = account(*runs, guards=[guard])
    best = found.best
    assert best is not None and best.settings["width"] == 8
    assert found.standing(found.configurations[2]) is Standing.BROKEN
    assert any("180, the bound is 110" in note for note in notes(found))
    only = account(runs[0], runs[2], guards=[guard])
    assert only.best is only.baseline
    assert "nothing that keeps the guards is shown" in headline(only)
