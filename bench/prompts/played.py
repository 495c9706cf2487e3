"""A long session, played: what a night of hundreds of iterations leaves for the next prompt."""

import random
from collections.abc import Iterator

from bench.prompts.recording import Recording
from wildloop.flows.models.change import Change, ChangeKind
from wildloop.flows.models.contract import ContractSource, SessionContract
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_options import Budget, SessionSpec
from wildloop.flows.models.session_record import IterationRecord

GOAL = (
    "Get val_bpb (bits per byte on held-out text) as low as possible, below 2.2 if you can. "
    "train.py is yours to change in any way; prepare.py is fixed: data, evaluation, 4 CPU seconds "
    "of training. Only numpy is available."
)
SECONDS = 9.0
SPREAD = 0.012
IDEAS: dict[ChangeKind, tuple[str, ...]] = {
    ChangeKind.HYPER_PARAMETER: ("lr {x}", "batch {n}", "warm-up {n} steps", "Adam beta2 {x}"),
    ChangeKind.ARCHITECTURE: (
        "hidden {n}",
        "context {n}",
        "embedding {n}",
        "two layers of {n}",
    ),
    ChangeKind.OPTIMISER: ("Adam with decay {x}", "SGD momentum {x}", "Lion, lr {x}"),
    ChangeKind.DATA: (
        "{n} bytes in lower case",
        "shuffle blocks of {n}",
        "drop {n} rare bytes",
    ),
    ChangeKind.REGULARISATION: ("dropout {x}", "weight decay {x}", "label smoothing {x}"),
    ChangeKind.SIMPLIFICATION: ("without the bias", "one embedding for in and out", "no clipping"),
}
CAUSES = (
    "ValueError: operands could not be broadcast together with shapes (128,64) (64,128)",
    "MemoryError: Unable to allocate 3.2 GiB for an array with shape (418613, 1024)",
    "TimeoutError: 4.0 s of training are over and no step has been made",
)
PLAN = """## Goal

Low val_bpb.

## Phase {p} - Counts
- [x] [P{p}-T1] Orders 0 to 6 of counts alone | deliverable: .wild/experiments/p{p}-counts.md | \
done-when: 3 runs | runs: 3
- [ ] [P{p}-T2] Mix network and counts by a gate learnt on the last 10 % | deliverable: \
.wild/experiments/p{p}-mix.md | done-when: verdict written with 3 runs | runs: 3
- [ ] [P{p}-T3] Discounts of the counts | deliverable: .wild/experiments/p{p}-discounts.md | \
done-when: 3 runs | runs: 3

## Phase {q} - Sure
- [ ] [P{q}-T1] Ablation of the best | deliverable: .wild/experiments/p{q}-ablation.md | \
done-when: 9 runs | runs: 9
- [ ] [P{q}-T2] Confirm on seeds 3, 4, 5 | deliverable: .wild/experiments/p{q}-confirm.md | \
done-when: 3 runs | runs: 3
- [ ] [P{q}-T3] Reflection gate | deliverable: .wild/experiments/p{q}.md | done-when: decided
"""
LESSONS = (
    "[lesson] Learning rates above 0.02 diverge within 200 steps (4 of 4 runs: 1a2b3c4d ...).",
    "[gotcha] np.add.at is a quarter of a step; np.bincount does the same in a third of the time.",
    "[context] 418,613 training bytes, 94 symbols; a step at hidden 128 costs 0.8 ms.",
    "[lesson] Dropout never helped: short of compute, not of data (6 of 6 runs).",
)


def played(iterations: int, seed: int = 7) -> Recording:
    """A session of so many iterations of three seeds each; the next one is about to begin."""
    chance = random.Random(seed)
    runs, calls = list[Run](), [_planning()]
    for index, (mine, call) in enumerate(_iterations(chance, iterations), start=1):
        runs += mine
        calls.append(call)
        if index % 25 == 0:
            calls.append(_reflection(index, call))
    for place, call in enumerate(calls):
        # Each iteration has had its second call, which told of its runs.
        told = [run.id for run in runs if run.created_at < call.started_at + 100]
        calls[place] = call.model_copy(update={"told_runs": told})
    return Recording(
        spec=SessionSpec(
            goal=GOAL,
            workdir="/home/me/bytes",
            max_iterations=500,
            budget=Budget(runs=1500, hours=72),
            isolation="snapshot",
        ),
        contract=SessionContract(
            source=ContractSource.PROJECT,
            metric="val_bpb",
            direction="min",
            target=2.2,
            target_inclusive=False,
            train="python train.py",
            protected=["prepare.py"],
        ),
        calls=calls,
        runs=runs,
        plans={call.label: _plan(call.index) for call in calls},
        protected=["prepare.py"],
        memories=list(LESSONS),
        logs={run.id: run.error or "" for run in runs if run.error},
    )


def _plan(index: int) -> str:
    phase = 1 + index // 5
    return PLAN.format(p=phase, q=phase + 1)


def _iterations(
    chance: random.Random, iterations: int
) -> Iterator[tuple[list[Run], IterationRecord]]:
    best = truth = 2.784
    kinds = list(IDEAS)
    for index in range(1, iterations + 1):
        kind = ChangeKind.NONE if index == 1 else chance.choice(kinds)
        idea = "" if index == 1 else chance.choice(IDEAS[kind])
        text = idea.format(x=round(10 ** chance.uniform(-4, -1), 4), n=2 ** chance.randint(2, 9))
        has_failed = index > 1 and chance.random() < 0.06
        gain = 0.0 if index == 1 else chance.gauss(-0.06, 0.08) * (truth - 2.2) / 0.5
        cause = chance.choice(CAUSES) if has_failed else None
        mine = [_run(chance, index, number, truth - gain, cause) for number in range(3)]
        truth -= max(0.0, gain) if cause is None else 0.0
        values = [run.metrics["val_bpb"] for run in mine if run.metrics]
        said = f"P{1 + index // 5}-T{1 + index % 5}: {text or 'the baseline'}"
        if values:
            mean = sum(values) / len(values)
            said += f" gives {mean:.4f} over 3 seeds, {best - mean:+.4f} on the best"
            best = min(best, mean)
        else:
            said += f" failed: {cause}"
        call = IterationRecord(
            index=index,
            started_at=_begin(index) - 20,
            finished_at=_begin(index) + 60,
            summary=said + ".",
            change=Change(kind=kind, text=text),
            run_ids=[run.id for run in mine],
            files_changed=1,
            commit=f"{index:07x}{'0' * 33}",
        )
        yield mine, call


def _begin(index: int) -> float:
    return 1_790_000_000.0 + 200.0 * index


def _run(chance: random.Random, index: int, seed: int, mean: float, cause: str | None) -> Run:
    begin = _begin(index) + 9.5 * (seed // 2)
    value = round(chance.gauss(mean, SPREAD), 4)
    return Run(
        id=f"{(index * 2654435761 + seed * 40503) % 2**32:08x}-0000-0000-0000-000000000000",
        name=f"i{index}-s{seed}",
        command=f"python train.py --seed={seed}",
        parameters={"seed": seed},
        workdir="/home/me/bytes",
        status=RunStatus.FAILED if cause else RunStatus.FINISHED,
        created_at=_begin(index),
        started_at=begin,
        finished_at=begin + SECONDS + chance.random(),
        exit_code=1 if cause else 0,
        error=cause,
        run_dir=f"/home/me/bytes/.wild/runs/{index}-{seed}",
        git_commit=f"{index:07x}{'0' * 33}",
        code=f"{index * 2654435761 % 2**28:07x}" + "0" * 57,
        metrics={} if cause else {"val_bpb": value},
    )


def _planning() -> IterationRecord:
    return IterationRecord(
        index=0,
        kind="planning",
        started_at=_begin(0),
        summary="Planned: baseline, optimiser, width, counts, mix.",
        commit="0" * 40,
    )


def _reflection(index: int, last: IterationRecord) -> IterationRecord:
    return IterationRecord(
        index=index,
        kind="reflection",
        started_at=_begin(index) + 80,
        reflection=f"After {index} iterations: {last.summary} Hyper-parameters are spent; counts "
        "and their mixture with the network are what is left to try.",
        continue_session=True,
        summary="Reflected: go on with counts.",
        commit=last.commit,
    )
