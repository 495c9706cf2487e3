"""Ask and tell: budget, resumption from records, generations, failures, duplicates."""

import math
import random
from statistics import median
from typing import Any

import numpy as np
import pytest

from wildloop.flows.errors import Conflict, InvalidRequest, NotFound
from wildloop.flows.models.evo import (
    EvoSweepSpec,
    EvoSweepState,
    Failure,
    SamplerKind,
    Trial,
    TrialStatus,
)
from wildloop.flows.models.run import MetricPoint
from wildloop.flows.search.evolution import breed, cooling, reflect
from wildloop.flows.search.samplers import fitness, parents_of
from wildloop.flows.search.space import Space, key_of_parameters
from wildloop.flows.search.study import Study

SPACE: dict[str, Any] = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "layers": {"low": 1, "high": 6, "int": True},
    "act": ["relu", "tanh", "gelu"],
}
SAMPLERS = list(SamplerKind)


def sweep(**fields: Any) -> EvoSweepSpec:
    given = {"target_script": "train.py", "fitness_metric": "acc", "search_space": SPACE}
    return EvoSweepSpec.model_validate(given | fields)


def worth(trial: Trial) -> float:
    """Best at lr 0.01, three layers, tanh."""
    lr, layers = trial.parameters["lr"], trial.parameters["layers"]
    assert isinstance(lr, float)
    assert isinstance(layers, int)
    off = abs(math.log10(lr) + 2) + abs(layers - 3) * 0.2
    return -off - (0.5 if trial.parameters["act"] != "tanh" else 0.0)


def run_out(study: Study, slots: int = 1, order: int | None = None) -> Study:
    """Carry the study out with some slots; with `order` outcomes come in that shuffled order."""
    rng, running = random.Random(order), list(study.pending)
    while not study.done:
        running += study.ask(slots - len(running))
        assert running, "nothing runs and the study is not done: it would wait forever"
        trial = running.pop(rng.randrange(len(running)) if order is not None else 0)
        study.tell(trial.number, worth(trial))
    return study


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("slots", [1, 3, 8, 50])
def test_the_budget_is_spent_exactly_at_any_number_of_slots(
    sampler: SamplerKind, slots: int
) -> None:
    study = run_out(Study(sweep(sampler=sampler, generations=4)), slots, order=1)
    assert [one.number for one in study.trials] == list(range(16))
    assert [one.generation for one in study.trials] == [i // 4 for i in range(16)]
    assert all(study._space.contains(one.parameters) for one in study.trials)
    assert study.ask(5) == []
    best = study.best
    assert best is not None
    assert best.value == max(one.value or -9 for one in study.trials)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_restored_at_any_point_goes_on_as_if_it_had_not_stopped(
    sampler: SamplerKind,
) -> None:
    whole = run_out(Study(sweep(sampler=sampler), seed=3)).trials
    for cut in range(len(whole)):
        study = Study(sweep(sampler=sampler), seed=3)
        stored = EvoSweepState(spec=study.spec, seed=3, trials=whole[:cut]).model_dump_json()
        study.restore(EvoSweepState.model_validate_json(stored).trials)
        assert study.ask(1)[0].parameters == whole[cut].parameters


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_asking_one_by_one_or_at_once_is_the_same(sampler: SamplerKind) -> None:
    one, other = Study(sweep(sampler=sampler)), Study(sweep(sampler=sampler))
    assert one.ask(4) == [trial for _ in range(4) for trial in other.ask()]


def test_trials_that_run_at_a_restart_are_kept_and_not_asked_again() -> None:
    first = Study(sweep())
    asked = first.ask(4)
    first.assign(2, "run-2")
    first.tell(0, 1.0)
    study = Study(sweep())
    study.restore(first.trials[::-1])
    assert [one.number for one in study.pending] == [1, 2, 3]
    assert study.pending[1].run_id == "run-2"
    assert study.ask(4) == first.ask(4)
    assert study.trials[:4] == [first.trials[0], *first.trials[1:4]]
    assert asked[1] == study.trials[1]


def test_another_seed_asks_for_other_candidates() -> None:
    assert Study(sweep(), 1).ask(4) != Study(sweep(), 2).ask(4)


def test_the_given_defaults_are_tried_first() -> None:
    spec = sweep(defaults={"lr": 0.5, "act": "gelu"})
    first, second = Study(spec).ask(2)
    assert (first.parameters["lr"], first.parameters["act"]) == (0.5, "gelu")
    assert second.parameters["lr"] != 0.5


def test_the_first_generation_fills_the_space() -> None:
    spec = sweep(search_space={"x": {"low": 0, "high": 1}}, population_size=8)
    for seed in range(5):
        cells = {int(float(str(one.parameters["x"])) * 8) for one in Study(spec, seed).ask(8)}
        assert len(cells) >= 7


def test_a_generation_waits_until_half_of_the_one_before_has_ended() -> None:
    study = Study(sweep())
    asked = study.ask(10)
    assert len(asked) == 4
    assert study.ask(1) == []
    study.tell(0, 0.5)
    assert study.ask(1) == []
    study.tell(1, Failure(reason="exit code 1"))
    assert [one.generation for one in study.ask(10)] == [1] * 4


@pytest.mark.parametrize("sampler", [SamplerKind.RANDOM, SamplerKind.TPE])
def test_samplers_without_generations_fill_every_slot(sampler: SamplerKind) -> None:
    assert len(Study(sweep(sampler=sampler)).ask(10)) == 10


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_candidate_is_asked_twice_and_a_small_space_ends_early(sampler: SamplerKind) -> None:
    space = {"a": [1, 2, 3], "n": {"low": 1, "high": 3, "int": True}}
    study = Study(sweep(search_space=space, generations=10, sampler=sampler))
    while not study.done:
        for trial in study.ask(3):
            study.tell(trial.number, float(str(trial.parameters["n"])))
    assert len({key_of_parameters(one.parameters) for one in study.trials}) == 9
    assert len(study.trials) == 9
    assert study.exhausted
    assert study.state().done


def test_an_exhausted_study_is_done_only_when_its_last_trial_has_ended() -> None:
    study = Study(sweep(search_space={"a": [1, 2]}, population_size=4))
    assert len(study.ask(4)) == 2
    assert not study.done
    study.tell(0, 1.0)
    study.tell(1, 1.0)
    assert study.done


def test_a_failed_trial_uses_budget_and_is_never_best() -> None:
    study = Study(sweep(fitness_direction="min"))
    for trial in study.ask(4):
        study.tell(trial.number, Failure(reason="out of memory") if trial.number else 7.0)
    assert study.best is not None
    assert study.best.number == 0
    assert study.trials[1].status is TrialStatus.FAILED
    assert study.trials[1].error == "out of memory"
    assert len(study.ask(20)) == 4


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sweep_in_which_everything_fails_ends(sampler: SamplerKind) -> None:
    study = Study(sweep(sampler=sampler))
    while not study.done:
        for trial in study.ask(2):
            study.tell(trial.number, Failure(reason="broken"))
    assert len(study.trials) == 12
    assert study.best is None


def test_failed_counts_as_worst_and_pruned_as_no_better_than_the_worst_finished() -> None:
    study = Study(sweep())
    study.ask(4)
    study.tell(0, 0.4)
    study.tell(1, 0.2)
    study.tell(2, 0.9, pruned=True)
    study.tell(3, Failure(reason="crash"))
    assert fitness(study.spec, study.trials) == {0: 0.4, 1: 0.2, 2: 0.2, 3: 0.2}
    assert study.leaders() == [study.trials[0], study.trials[1]]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_a_failure(value: float) -> None:
    study = Study(sweep())
    study.ask()
    told = study.tell(0, value)
    assert told.status is TrialStatus.FAILED
    assert told.error is not None
    assert "acc" in told.error


def test_an_outcome_is_told_once_and_repeating_it_does_no_harm() -> None:
    study = Study(sweep())
    study.ask()
    study.tell(0, 0.5)
    study.assign(0, "r0")
    assert study.tell(0, 0.5).run_id == "r0"
    with pytest.raises(Conflict, match=r"trial 0 is 'finished' with value 0\.5"):
        study.tell(0, 0.6)
    with pytest.raises(Conflict):
        study.tell(0, Failure(reason="late"))
    with pytest.raises(NotFound):
        study.tell(1, 0.5)
    with pytest.raises(InvalidRequest, match="count"):
        study.ask(-1)


def test_records_of_another_sweep_are_refused() -> None:
    trials = Study(sweep()).ask(3)
    study = Study(sweep())
    with pytest.raises(InvalidRequest, match="expected number 0, found 1"):
        study.restore(trials[1:])
    with pytest.raises(InvalidRequest, match="expected number 1, found 0"):
        study.restore([trials[0], trials[0]])
    foreign = Trial(number=0, generation=0, parameters={"lr": 5.0, "layers": 1, "act": "relu"})
    with pytest.raises(InvalidRequest, match="trial 0 are not in search_space"):
        study.restore([foreign])


def told_of(spec: EvoSweepSpec, generation: int) -> Study:
    study = Study(spec)
    while len(study.trials) < generation * spec.population_size:
        for trial in study.ask(spec.population_size):
            study.tell(trial.number, worth(trial))
    return study


def test_without_mutation_children_recombine_the_top_k_only() -> None:
    spec = sweep(mutation_strength=0, top_k=2, population_size=8, generations=2)
    study = told_of(spec, 1)
    parents = study.leaders()
    assert len(parents) == 2
    genes = {name: {one.parameters[name] for one in parents} for name in SPACE}
    for child in study.ask(2):
        for name, value in child.parameters.items():
            assert value in genes[name]


def test_a_failed_trial_is_no_parent() -> None:
    spec = sweep(mutation_strength=0, top_k=4)
    study = Study(spec)
    for trial in study.ask(4):
        study.tell(trial.number, 0.1 * trial.number if trial.number < 2 else Failure(reason="x"))
    assert [one.number for one in parents_of(spec, study.trials)] == [1, 0]
    child = study.ask()[0]
    for name, value in child.parameters.items():
        assert value in {one.parameters[name] for one in study.trials[:2]}


def test_a_stronger_mutation_goes_further() -> None:
    def distance(strength: float) -> float:
        dims = {f"x{i}": {"low": 0.0, "high": 1.0} for i in range(6)}
        spec = sweep(search_space=dims, mutation_strength=strength, top_k=1, population_size=32)
        study = Study(spec)
        for trial in study.ask(32):
            study.tell(trial.number, float(str(trial.parameters["x0"])))
        home = study.leaders()[0].parameters
        return median(
            math.dist(
                [float(str(value)) for value in one.parameters.values()],
                [float(str(value)) for value in home.values()],
            )
            for one in study.ask(32)
        )

    weak, middle, strong = distance(0.02), distance(0.1), distance(0.3)
    assert weak == pytest.approx(0.02 * math.sqrt(6), rel=0.4)
    assert weak < middle < strong


def test_the_mutation_cools_from_the_first_children_to_the_last() -> None:
    factors = [cooling(generation, 5) for generation in range(1, 5)]
    assert factors[0] == 1.0
    assert factors == sorted(factors, reverse=True)
    assert factors[-1] == pytest.approx(0.25)
    assert cooling(1, 2) == 1.0


def test_steps_bounce_off_the_walls() -> None:
    found = [reflect(share) for share in (-0.2, 1.3, 0.4, 2.1, -1.2)]
    assert found == pytest.approx([0.2, 0.7, 0.4, 0.1, 0.8])


def test_choices_are_redrawn_with_the_strength_as_probability() -> None:
    space = Space(sweep(search_space={"a": list(range(100))}).search_space)
    rng = np.random.default_rng(0)
    same = sum(breed(space, [[0.555]], 0.3, rng) == [0.555] for _ in range(1000))
    assert 640 < same < 760


@pytest.mark.parametrize("sampler", [SamplerKind.EVO, SamplerKind.TPE, SamplerKind.CMAES])
def test_a_guided_search_beats_random_draws_on_a_smooth_problem(sampler: SamplerKind) -> None:
    def best(kind: SamplerKind) -> float:
        found = []
        for seed in range(7):
            study = run_out(Study(sweep(sampler=kind, generations=8), seed), slots=4)
            assert study.best is not None
            found.append(study.best.value or 0.0)
        return median(found)

    assert best(sampler) > best(SamplerKind.RANDOM)


def points(*values: float) -> list[MetricPoint]:
    return [MetricPoint(name="acc", value=one, step=i) for i, one in enumerate(values, start=1)]


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_a_hopeless_trial_is_pruned_by_the_fitness_metric(pruner: str) -> None:
    study = Study(sweep(pruner=pruner))
    trial = study.ask()[0]
    rivals = [points(0.7, 0.8, 0.9)] * 4
    bad, good = points(0.1, 0.1, 0.1), points(0.9, 0.9, 0.95)
    assert study.should_prune(trial, bad, rivals)
    assert not study.should_prune(trial, good, rivals)
    other = [MetricPoint(name="loss", value=0.0, step=i) for i in range(9)]
    assert not study.should_prune(trial, other, rivals)
    ended = study.tell(trial.number, 0.1, pruned=True)
    assert ended.status is TrialStatus.PRUNED
    assert not study.should_prune(ended, bad, rivals)
    assert study.best is None


def test_nothing_is_pruned_unless_asked_for() -> None:
    study = Study(sweep())
    trial = study.ask()[0]
    assert not study.should_prune(trial, points(0, 0, 0), [points(9, 9, 9)] * 9)


def test_the_state_says_where_the_sweep_is() -> None:
    study = Study(sweep(), seed=5)
    empty = study.state()
    assert (empty.trials, empty.best, empty.generation, empty.done) == ([], None, 0, False)
    run_out(study)
    state = study.state()
    assert (state.seed, state.generation, state.done, state.exhausted) == (5, 2, True, False)
    assert state.best == study.best
