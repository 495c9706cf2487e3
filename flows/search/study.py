"""Ask and tell for an evolutionary sweep."""

import math
from collections.abc import Sequence
from itertools import islice

from wildloop.flows.errors import Conflict, InvalidRequest, NotFound
from wildloop.flows.models.evo import (
    EvoSweepSpec,
    EvoSweepState,
    Failure,
    PrunerKind,
    SamplerKind,
    Trial,
    TrialStatus,
)
from wildloop.flows.models.run import MetricPoint
from wildloop.flows.search.prune import Curve, curve_of, halving_stops, median_stops
from wildloop.flows.search.samplers import propose, ranked, uniform
from wildloop.flows.search.space import Parameters, Space, key_of_parameters

ENUMERATED = 100_000


class Study:
    """Which candidates to try, from the spec, a seed and the trials so far.

    It holds no state beyond its records: a study that is given the same spec, seed and `trials`
    asks for the same candidates. So a sweep resumes from `trials` alone, and whoever loses the
    answer to `ask` may ask again.

    Usage: `restore` what is known, then until `done`: `ask` for as many candidates as there are
    free slots, run them, `tell` each outcome. `ask` returns fewer, also none, while a generation
    waits for results of the one before, so wait for an outcome before asking again.
    """

    def __init__(self, spec: EvoSweepSpec, seed: int = 0) -> None:
        self.spec = spec
        self.seed = seed
        self._space = Space(spec.search_space)
        self._trials: list[Trial] = []
        self._keys: set[str] = set()
        self._exhausted = False

    @property
    def trials(self) -> list[Trial]:
        """The records, by number."""
        return list(self._trials)

    def restore(self, trials: Sequence[Trial]) -> None:
        """Take up the records of an earlier study, those still running included.

        Raises:
            InvalidRequest: numbers are missing, or parameters are not of this space: the records
                belong to another sweep, or the spec was changed.
        """
        ordered = sorted(trials, key=lambda one: one.number)
        for number, trial in enumerate(ordered):
            if trial.number != number:
                raise InvalidRequest(
                    f"trials: expected number {number}, found {trial.number}: give all trials of "
                    "the sweep, each once"
                )
            if not self._space.contains(trial.parameters):
                raise InvalidRequest(
                    f"trials: the parameters of trial {number} are not in search_space: resume "
                    "with the spec that the sweep began with"
                )
        self._trials = ordered
        self._keys = {key_of_parameters(one.parameters) for one in ordered}
        self._exhausted = False

    def ask(self, count: int = 1) -> list[Trial]:
        """Up to `count` new trials, none of which was asked before.

        A generation opens once at least half of the one before has ended, so that one slow run
        does not leave the other slots idle. Random search and TPE need no results to go on.
        """
        if count < 0:
            raise InvalidRequest(f"count is {count}: ask for 0 or more trials")
        asked: list[Trial] = []
        while len(asked) < count and self._may_ask():
            number = len(self._trials)
            parameters = self._candidate(number)
            if parameters is None:
                self._exhausted = True
                break
            trial = Trial(
                number=number,
                generation=number // self.spec.population_size,
                parameters=parameters,
            )
            self._trials.append(trial)
            self._keys.add(key_of_parameters(parameters))
            asked.append(trial)
        return asked

    def assign(self, number: int, run_id: str) -> Trial:
        """Note which run carries a trial out."""
        return self._replace(self._trial(number).model_copy(update={"run_id": run_id}))

    def tell(self, number: int, outcome: float | Failure, *, pruned: bool = False) -> Trial:
        """Record the outcome of a trial: its fitness, or why there is none.

        A value that is not finite is a failure. `pruned` marks the last value of a trial that was
        stopped early. Telling the same outcome again changes nothing.

        Raises:
            NotFound: no such trial was asked.
            Conflict: the trial has another outcome already.
        """
        trial = self._trial(number)
        told: dict[str, TrialStatus | str | float]
        if isinstance(outcome, Failure):
            told = {"status": TrialStatus.FAILED, "error": outcome.reason}
        elif not math.isfinite(outcome):
            reason = f"{self.spec.fitness_metric} is {outcome}"
            told = {"status": TrialStatus.FAILED, "error": reason}
        else:
            status = TrialStatus.PRUNED if pruned else TrialStatus.FINISHED
            told = {"status": status, "value": float(outcome)}
        ended = trial.model_copy(update=told)
        if trial.status.is_terminal and ended != trial:
            raise Conflict(
                f"trial {number} is '{trial.status}' with value {trial.value}: an outcome is told "
                "once"
            )
        return self._replace(ended)

    @property
    def pending(self) -> list[Trial]:
        """The trials that were asked and have no outcome."""
        return [one for one in self._trials if not one.status.is_terminal]

    @property
    def exhausted(self) -> bool:
        """Whether the space had no further candidate at the last `ask`."""
        return self._exhausted

    @property
    def done(self) -> bool:
        """Whether all of the budget, or of the space, has its outcome."""
        spent = len(self._trials) >= self.spec.budget or self._exhausted
        return spent and not self.pending

    @property
    def best(self) -> Trial | None:
        """The best finished trial; the earlier of equals. None while nothing has finished."""
        return next(iter(self.leaders(1)), None)

    def leaders(self, count: int | None = None) -> list[Trial]:
        """The best finished trials, best first (default: `top_k` of them)."""
        found = ranked(self.spec, self._trials)
        return found[: self.spec.top_k if count is None else count]

    def should_prune(
        self, trial: Trial, series: Sequence[MetricPoint], others: Sequence[Sequence[MetricPoint]]
    ) -> bool:
        """Whether a running trial should be stopped, by its metrics so far.

        `series` are the trial's metric points (other metrics than the fitness are passed over),
        `others` those of the sweep's other trials, ended or not. False without a pruner.
        """
        if trial.status.is_terminal or self.spec.pruner is PrunerKind.NONE:
            return False
        metric, is_max = self.spec.fitness_metric, self.spec.fitness_direction == "max"
        curve: Curve = curve_of(series, metric)
        rivals = [curve_of(one, metric) for one in others]
        if self.spec.pruner is PrunerKind.MEDIAN:
            return median_stops(curve, rivals, is_max)
        return halving_stops(curve, rivals, is_max)

    def state(self) -> EvoSweepState:
        """The whole state, for storage and display."""
        return EvoSweepState(
            spec=self.spec,
            seed=self.seed,
            trials=self.trials,
            best=self.best,
            generation=self._trials[-1].generation if self._trials else 0,
            exhausted=self._exhausted,
            done=self.done,
        )

    def _may_ask(self) -> bool:
        number, size = len(self._trials), self.spec.population_size
        if self._exhausted or number >= self.spec.budget:
            return False
        if self.spec.sampler in (SamplerKind.RANDOM, SamplerKind.TPE) or number < size:
            return True
        start = (number // size) * size
        waiting = sum(not one.status.is_terminal for one in self._trials[:start])
        return waiting <= size // 2

    def _candidate(self, number: int) -> Parameters | None:
        def is_new(parameters: Parameters) -> bool:
            return key_of_parameters(parameters) not in self._keys

        size = self._space.size
        if size is not None and len(self._keys) >= size:
            return None
        found = propose(self.spec, self.seed, number, self._trials, is_new)
        found = found or uniform(self.spec, self.seed + 1, number, is_new)
        if found is None and size is not None:
            # A nearly exhausted space: draws hit what was tried, so look through what is left.
            left = islice(self._space.configurations(), ENUMERATED)
            found = next((one for one in left if is_new(one)), None)
        return found

    def _trial(self, number: int) -> Trial:
        if not 0 <= number < len(self._trials):
            raise NotFound("trial", str(number))
        return self._trials[number]

    def _replace(self, trial: Trial) -> Trial:
        self._trials[trial.number] = trial
        return trial
