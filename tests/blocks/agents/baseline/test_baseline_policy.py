"""How the baseline agent spends its runs: what is searched, what is raced, what is recommended."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from wildloop.blocks.agents.baseline.api import EvidenceView, RunView
from wildloop.blocks.agents.baseline.config import ProjectFile
from wildloop.blocks.agents.baseline.encoding import Cube
from wildloop.blocks.agents.baseline.gaussian import Process
from wildloop.blocks.agents.baseline.outlook import Outlook
from wildloop.blocks.agents.baseline.policy import last_race, next_step, runs_to_show
from wildloop.blocks.agents.baseline.proposals import promising_configurations
from wildloop.blocks.agents.baseline.recommend import recommend
from wildloop.blocks.agents.baseline.search import first_configurations, key_of
from wildloop.blocks.agents.baseline.stages import ablation_runs

Score = Callable[[dict[str, Any], int], float]
NOTHING = EvidenceView()


def project_of(**search: dict[str, Any]) -> ProjectFile:
    """Two ranges, of which the first matters; the baseline is far from the best."""
    space = search or {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}}
    base = {name: one["values"][0] if "values" in one else 0.9 for name, one in space.items()}
    return ProjectFile.model_validate(
        {
            "train": {"command": "python train.py"},
            "metric": {"name": "score", "direction": "max"},
            "baseline": base,
            "search": space,
        }
    )


def noisy(sd: float) -> Score:
    """Best at x = 0.3, with noise between seeds."""

    def score(values: dict[str, Any], seed: int) -> float:
        draw = np.random.default_rng([seed, int(values["x"] * 1e6)]).normal()
        return 1 - 2 * (values["x"] - 0.3) ** 2 + sd * float(draw)

    return score


def run_of(number: int, values: dict[str, Any], seed: int, score: Score) -> RunView:
    return RunView(
        id=f"r{number}",
        name=f"r{number}",
        status="finished",
        parameters=values,
        seed=seed,
        created_at=float(number),
        metrics={"score": score(values, seed)},
    )


def session(project: ProjectFile, score: Score, total: int) -> tuple[list[RunView], list[str]]:
    """A whole session's runs, and what each of those after the broad start was for."""
    wanted = [(project.base(), 0), (project.base(), 1)]
    wanted += [(one, 0) for one in first_configurations(project, [project.base()], 4, 1)]
    runs = [run_of(n, values, seed, score) for n, (values, seed) in enumerate(wanted)]
    kinds: list[str] = []
    while (step := next_step(project, runs, total, 2, len(runs))).kind != "done":
        runs += [run_of(len(runs) + n, one, s, score) for n, (one, s) in enumerate(step.wanted)]
        kinds += [step.kind] * len(step.wanted)
    return runs, kinds


def test_noise_is_learnt_from_repeated_seeds() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(rng.random((12, 2)), 2, axis=0)
    values = points[:, 0] + rng.normal(0, 0.1, len(points))
    found = Process(points, values, np.arange(2))
    assert found.noise == pytest.approx(0.1, rel=0.5)
    quiet = Process(points, points[:, 0], np.arange(2))
    assert quiet.noise < 0.02


def test_what_a_seed_does_to_all_alike_is_no_noise_of_a_difference() -> None:
    rng = np.random.default_rng(0)
    points = np.tile(rng.random((8, 2)), (4, 1))
    seeds = np.repeat(np.arange(4), 8)
    shifts = np.array([0.4, -0.3, 0.5, -0.6])[seeds]
    values = points[:, 0] + shifts + rng.normal(0, 0.02, len(points))
    found = Process(points, values, np.arange(2), seeds)
    assert found.noise < 0.1 < found.shift
    apart = Process(points, values, np.arange(2))
    assert apart.noise > 0.3
    # Of two that ran the same seeds, the better by far less than the shifts is known to be it.
    order = np.argsort(points[:8, 0])
    pair = points[[order[-1], order[0]]]
    assert found.chances_above(pair)[0] > 0.99


def test_a_loss_that_spans_much_is_told_by_its_logarithm() -> None:
    project = project_of()
    project.metric.direction = "min"

    def loss(values: dict[str, Any], seed: int) -> float:
        return float(np.exp(8 * abs(values["x"] - 0.3)))

    runs = [run_of(0, project.base(), 0, loss)]
    runs += [
        run_of(n, one, 0, loss) for n, one in enumerate(first_configurations(project, [], 8, 1), 1)
    ]
    outlook = Outlook(project, runs)
    assert outlook.is_loss
    assert key_of(outlook.rivals[0].configuration) == key_of(outlook.groups[0].configuration)
    runs[0].metrics["score"] = -1.0
    assert not Outlook(project, runs).is_loss


def test_a_metric_without_spread_gets_no_seeds_but_one_to_know_it() -> None:
    runs, kinds = session(project_of(), noisy(0.0), 16)
    assert len(runs) == 16
    assert kinds.count("race") == 1
    found = recommend(project_of(), runs, NOTHING)
    assert found.configuration["x"] == pytest.approx(0.3, abs=0.05)


def test_all_runs_are_spent_and_loud_seeds_get_more_of_them() -> None:
    raced = {}
    for sd in (0.02, 0.6):
        runs, kinds = session(project_of(), noisy(sd), 30)
        raced[sd] = kinds.count("race")
        assert len(runs) <= 30
    assert 2 <= raced[0.02] < raced[0.6]


def test_what_is_kept_back_for_an_ablation_is_raced_while_nothing_is_shown() -> None:
    project = project_of()
    project.budget.runs, project.budget.ablation = 24, 6
    runs, _ = session(project, noisy(0.1), 18)
    assert len(runs) == 18
    step = last_race(project, runs, 2, 1, [])
    assert step.kind == "race" and len(step.wanted) == 2
    base = key_of(project.base())
    known = {(key_of(run.parameters), run.seed) for run in runs}
    assert not known & {(key_of(one), seed) for one, seed in step.wanted}
    assert any(key_of(one) != base for one, _ in step.wanted) or step.wanted[0][1] > 2
    assert last_race(project, runs, 2, 1, [base]).wanted == []
    project.budget.runs = 21
    assert last_race(project, runs, 2, 1, []).wanted == [], "the other half stays for it"
    project.budget.runs = 18
    assert last_race(project, runs, 2, 1, []).wanted == []


def test_fresh_seeds_of_the_race_are_those_of_the_baseline() -> None:
    runs, _ = session(project_of(), noisy(0.1), 20)
    base = {run.seed for run in runs if run.parameters == project_of().base()}
    raced = {run.seed for run in runs if run.seed and run.parameters != project_of().base()}
    assert min(base) == 0 and raced and min(raced) == 1
    assert raced & base


def test_where_nothing_is_better_the_baseline_is_recommended() -> None:
    project = project_of()

    def worse(values: dict[str, Any], seed: int) -> float:
        draw = np.random.default_rng([seed, int(values["x"] * 1e6)]).normal()
        return -abs(values["x"] - 0.9) + 0.3 * float(draw)

    runs, _ = session(project, worse, 16)
    found = recommend(project, runs, NOTHING)
    assert found.is_baseline and found.configuration == project.base()
    assert "keep x=0.9" in found.text


def test_race_needs_more_runs_the_smaller_the_gain_beside_the_noise() -> None:
    project = project_of()

    def needed(sd: float) -> int:
        base = [(project.base(), seed) for seed in (1, 2, 3)]
        wanted = base + [(one, 0) for one in first_configurations(project, [], 12, 1)]
        runs = [run_of(n, one, seed, noisy(sd)) for n, (one, seed) in enumerate(wanted)]
        return runs_to_show(Outlook(project, runs), 100)

    assert needed(0.0) <= 1 < needed(0.01) < needed(0.5)


CONDITIONAL = {
    "optimiser": {"values": ["sgd", "adam"]},
    "momentum": {"low": 0.0, "high": 1.0, "when": {"optimiser": ["sgd"]}},
    "layers": {"values": [1, 2, 3]},
    "width": {"low": 8, "high": 64, "int": True, "when": {"layers": [2, 3]}},
}


def test_what_does_not_matter_is_as_in_the_baseline_and_makes_no_other_configuration() -> None:
    project = project_of(**CONDITIONAL)
    one = {"optimiser": "adam", "momentum": 0.2, "layers": 1, "width": 9}
    assert project.plain(one) == one | {"momentum": 0.9, "width": 0.9}
    assert project.plain(one | {"optimiser": "sgd", "layers": 2}) == one | {
        "optimiser": "sgd",
        "layers": 2,
    }
    found = first_configurations(project, [], 30, 3)
    assert len({key_of(project.plain(one)) for one in found}) == len(found)


def test_points_of_many_configurations_are_those_of_each() -> None:
    project = project_of(**CONDITIONAL)
    cube = Cube(project)
    shares = np.random.default_rng(0).random((40, 4))
    each = cube.points([cube.configuration(one) for one in shares])
    assert cube.points_at(shares) == pytest.approx(each, abs=1e-3)


def test_proposals_are_new_and_end_with_the_space() -> None:
    project = project_of(x={"values": [0.0, 0.3, 0.9]}, y={"values": [0.9, 0.1]})
    first = first_configurations(project, [], 3, 1)
    runs = [run_of(n, one, 0, noisy(0.0)) for n, one in enumerate(first)]
    found = promising_configurations(Outlook(project, runs), first, 10, 1)
    assert len({key_of(one) for one in [*first, *found]}) == len(first) + len(found) == 6


@pytest.mark.parametrize(("room", "seeds", "changes"), [(8, 4, 2), (5, 2, 2), (3, 2, 1), (1, 0, 0)])
def test_an_ablation_has_two_seeds_of_each_change_or_leaves_it(
    room: int, seeds: int, changes: int
) -> None:
    project = project_of()
    project.budget.seeds = 5
    runs = ablation_runs({"x": 0.3, "y": 0.4}, project, room)
    assert len({key_of(one) for one, _ in runs}) == changes
    assert sorted({seed for _, seed in runs}) == list(range(1, seeds + 1))
    project.budget.seeds = 1
    assert len(ablation_runs({"x": 0.3, "y": 0.4}, project, room)) == min(room, 2)
