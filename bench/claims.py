"""How often sessions claim what is not so, and find what is: `python -m bench.claims`.

Sessions are simulated with the product's own comparison: twenty ideas, of which none or one helps.
Values are normal, a seed's sd is 1. In a keeping session each idea is tried on a few seeds against
the best. Where Wildloop can run it again, a promising one gets fresh seeds, as the best does once,
and these alone decide; else the agent's own seeds do. In a search all ideas get one seed, promising
ones fresh seeds, and the account tells the rest. What passes a test is on the mean too high by the
seeds that decided; where Wildloop can run it again, the gain that is shown comes from further seeds
of both sides, which have decided nothing. Their runs count.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.compare import compare, is_exact_metric
from wildloop.flows.evidence.confirm import SEEDS, is_promising
from wildloop.flows.evidence.estimate import estimate_of
from wildloop.flows.evidence.further import told
from wildloop.flows.evidence.view import view_of
from wildloop.flows.keep.decide import limit_of
from wildloop.flows.models.evidence import Comparison, Estimate
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.project import MetricConfig

IDEAS, BASELINE_SEEDS, IDEA_SEEDS, ALPHA = 20, 5, 3, 0.05
CLAIMED_SEEDS = 5
FURTHER_SEEDS = 5
METRIC = MetricConfig(name="score")


@dataclass
class World:
    """What is true: the gain of the one real idea, and each idea's sd."""

    gain: float = 0.0
    spread: float = 0.0
    noise: float = 1.0

    def deviations(self, chance: np.random.Generator) -> np.ndarray:
        """A standard deviation for the baseline and for each idea."""
        return self.noise * np.exp(self.spread * chance.normal(size=IDEAS + 1))


@dataclass
class Outcome:
    """What one session came to."""

    false: bool
    real: bool
    runs: int
    excess: float | None = None
    decided: float | None = None


WORLDS = {
    "nothing helps": World(),
    "nothing helps, unequal spreads": World(spread=0.7),
    "one gain of 1 sd": World(1.0),
    "one gain of 2 sd": World(2.0),
    "one gain of 4 sd": World(4.0),
    "one gain of 2 sd, unequal spreads": World(2.0, spread=0.4),
    "deterministic, nothing helps": World(noise=0.0),
    "deterministic, one gain": World(1.0, noise=0.0),
}


def over(values: Sequence[float]) -> Estimate:
    """The estimate of values of fresh seeds."""
    return estimate_of({str(number): float(value) for number, value in enumerate(values)})


def keeping_session(world: World, chance: np.random.Generator) -> Outcome:
    """Twenty changes, one after the other, each kept or discarded."""
    sds, real = world.deviations(chance), int(chance.integers(IDEAS))
    best, level, sd = over(chance.normal(0, sds[0], BASELINE_SEEDS)), 0.0, sds[0]
    found = Outcome(False, False, BASELINE_SEEDS)
    neighbours: list[Estimate] = []
    tests, is_confirmed = 0, False
    for idea in range(IDEAS):
        mean = level + (world.gain if idea == real else 0.0)
        tried = over(chance.normal(mean, sds[idea + 1], IDEA_SEEDS))
        found.runs += IDEA_SEEDS
        exact = is_exact_metric([tried.values, best.values])
        near = neighbours[-12:]
        screened = compare(tried, best, "max", neighbours=near, is_exact=exact)
        neighbours.append(tried)
        if not is_promising(screened):
            continue
        if not exact and not is_confirmed:
            best = over(chance.normal(level, sd, SEEDS))
            found.runs, is_confirmed = found.runs + SEEDS, True
        fresh = over(chance.normal(mean, sds[idea + 1], 1 if exact else SEEDS))
        found.runs += fresh.n
        limit = limit_of(tests, ALPHA)
        test = compare(
            fresh, best, "max", neighbours=near, is_exact=exact, alpha=ALPHA, limit=limit
        )
        tests += 1
        if not test.established:
            continue
        note(found, test, (mean, sds[idea + 1]), (level, sd), None if exact else chance)
        best, level, sd, tests, is_confirmed = fresh, mean, sds[idea + 1], 0, True
    return found


def note(
    found: Outcome,
    test: Comparison,
    now: tuple[float, float],
    before: tuple[float, float],
    chance: np.random.Generator | None,
) -> None:
    """Note a claimed gain: a false one, or how far from the truth it is, decided and shown.

    `now` and `before` are the true means and deviations of the change and of the best before it;
    without `chance` no further seeds are run.
    """
    truth, shown = now[0] - before[0], test
    if chance is not None:
        sides = [over(chance.normal(*side, FURTHER_SEEDS)) for side in (now, before)]
        shown = told(test, sides[0], sides[1], "max", [])
        found.runs += 2 * FURTHER_SEEDS
    if truth <= 0:
        found.false = True
        return
    found.real, found.decided, found.excess = True, test.gain - truth, shown.gain - truth


def claimed_session(world: World, chance: np.random.Generator) -> Outcome:
    """The same where Wildloop can run nothing again: the agent's own seeds decide."""
    sds, real = world.deviations(chance), int(chance.integers(IDEAS))
    best, level, sd = over(chance.normal(0, sds[0], BASELINE_SEEDS)), 0.0, sds[0]
    found = Outcome(False, False, BASELINE_SEEDS)
    neighbours: list[Estimate] = []
    tests = 0
    for idea in range(IDEAS):
        mean = level + (world.gain if idea == real else 0.0)
        tried = over(chance.normal(mean, sds[idea + 1], CLAIMED_SEEDS))
        found.runs += tried.n
        test = compare(
            tried,
            best,
            "max",
            neighbours=neighbours[-12:],
            is_exact=is_exact_metric([tried.values, best.values]),
            alpha=ALPHA,
            limit=limit_of(tests, ALPHA),
        )
        neighbours.append(tried)
        tests += 1
        if not test.established:
            continue
        note(found, test, (mean, sds[idea + 1]), (level, sd), None)
        best, level, sd, tests = tried, mean, sds[idea + 1], 0
    return found


def search_session(world: World, chance: np.random.Generator) -> Outcome:
    """Twenty ideas on one seed each, fresh seeds for promising ones; the account tells the rest."""
    sds, real = world.deviations(chance), int(chance.integers(IDEAS))
    runs = [_run(0, seed, 0.0, chance.normal(0, sds[0])) for seed in range(BASELINE_SEEDS)]
    for idea in range(1, IDEAS + 1):
        mean = world.gain if idea - 1 == real else 0.0
        runs.append(_run(idea, 0, 0.0, chance.normal(mean, sds[idea])))
    account = Account(runs, Contract(METRIC, alpha=ALPHA))
    assert account.baseline is not None
    top = sorted(account.comparisons.items(), key=lambda item: -item[1].gain)[:3]
    for id, _ in [] if account.is_exact else top:
        idea = int(account.by_id[id].settings["idea"])
        mean = world.gain if idea - 1 == real else 0.0
        runs += [
            _run(idea, seed, 1000.0, chance.normal(mean, sds[idea])) for seed in range(1, SEEDS + 1)
        ]
    account = Account(runs, Contract(METRIC, alpha=ALPHA))
    shown = [int(one.settings["idea"]) - 1 for one in account.shown]
    claims = view_of(account, "s").findings
    is_real = world.gain > 0 and real in shown
    false = any(idea != real or world.gain == 0 for idea in shown) or (bool(claims) and not shown)
    outcome = Outcome(false, is_real, len(runs))
    if account.gain is not None and account.best is not None:
        idea = int(account.best.settings["idea"])
        mean = world.gain if idea - 1 == real else 0.0
        run_again = None if account.is_exact else chance
        note(outcome, account.gain, (mean, sds[idea]), (0.0, sds[0]), run_again)
        outcome.false, outcome.real = false, is_real
    return outcome


def _run(idea: int, seed: int, when: float, value: float) -> Run:
    name = f"{idea}-{seed}"
    return Run(
        id=name,
        name=name,
        command="python train.py",
        workdir="/p",
        status=RunStatus.FINISHED,
        seed=seed,
        variables=["SEED"],
        parameters={"idea": idea},
        created_at=when + idea / 100,
        started_at=when,
        finished_at=when + 10,
        run_dir="/p",
        metrics={"score": float(value)},
    )


def summary(found: Sequence[Outcome]) -> str:
    """The cells of a row."""
    shown = [one.excess for one in found if one.excess is not None]
    decided = [one.decided for one in found if one.decided is not None]
    cells = [
        f"{np.mean([one.false for one in found]):.1%}",
        f"{np.mean([one.real for one in found]):.0%}",
        f"{np.mean(shown):+.2f}" if shown else "-",
        f"{np.mean(decided):+.2f}" if decided else "-",
        f"{np.mean([one.runs for one in found]):.0f}",
    ]
    return " | ".join(cells)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=400)
    sessions = parser.parse_args().sessions
    chance = np.random.default_rng(14)
    print(
        "| session | world | claims what is not so | finds the gain | shown gain less the true one "
        "(sd) | the same, by the seeds that decided | runs |\n|" + " --- |" * 7
    )
    kinds = {
        "keeping, confirmed": keeping_session,
        "keeping, as claimed": claimed_session,
        "search": search_session,
    }
    for kind, play in kinds.items():
        for name, world in WORLDS.items():
            found = [play(world, chance) for _ in range(sessions)]
            print(f"| {kind} | {name} | {summary(found)} |", flush=True)


if __name__ == "__main__":
    main()
