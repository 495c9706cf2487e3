"""What an iteration's runs say: one value per seed of each configuration."""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence

from flows.configurations.groups import configurations
from flows.configurations.settings import seed_of, title_of
from flows.models.keep import Evidence
from flows.models.run import Run
from flows.results import value_of

UNKNOWN_SEED = "?"
_MEMORY = re.compile(
    r"(?:.*/)?(?:peak|max)[-_]?(?:gpu|cuda|v?ram|rss)?[-_]?(?:memory|mem|vram|ram|rss)"
    r"(?:[-_]used)?[-_](?P<unit>mi?b|gi?b)|(?:.*/)?(?:v?ram|memory|mem)[-_](?P<unit2>mi?b|gi?b)",
    re.IGNORECASE,
)
_GB = 1024.0


def evidence(
    runs: Sequence[Run],
    metric: str,
    *,
    iteration: int = 0,
    commit: str | None = None,
    busy: Mapping[str, str] | None = None,
) -> list[Evidence]:
    """The configurations of `runs`, in order of their first run.

    Runs of one seed count once, by their mean. Without a seed each run counts, but equal values
    count once: a run repeated as it was tells nothing new. A seed whose runs have all failed, or
    were stopped, or lack the metric, is noted as failed.

    Args:
        runs: ended runs of one iteration's code.
        metric: name of the primary metric.
        iteration: number of the iteration.
        commit: its commit.
        busy: why a run shared its machine, by run id.
    """
    return [
        _of_group(title_of(group.runs[0]), group.runs, metric, busy or {}).model_copy(
            update={"iteration": iteration, "commit": commit}
        )
        for group in configurations(runs, metric, lambda _: "")
    ]


def _of_group(name: str, runs: list[Run], metric: str, busy: Mapping[str, str]) -> Evidence:
    by_seed: dict[str, list[float]] = {}
    failed: list[str] = []
    unseeded: list[float] = []
    measured = [(seed_of(run), value_of(run, metric)) for run in runs]
    for seed, value in measured:
        if value is None:
            failed.append(seed or UNKNOWN_SEED)
        elif seed is None:
            if value not in unseeded:
                unseeded.append(value)
        else:
            by_seed.setdefault(seed, []).append(value)
    # A run without a seed that failed was made good by one that did not.
    is_made_good = any(seed is None and value is not None for seed, value in measured)
    missing = [
        seed
        for seed in dict.fromkeys(failed)
        if seed not in by_seed and not (seed == UNKNOWN_SEED and is_made_good)
    ]
    return Evidence(
        configuration=name,
        values=[statistics.fmean(values) for values in by_seed.values()] + unseeded,
        seeds=[*by_seed, *[UNKNOWN_SEED] * len(unseeded)],
        failed_seeds=missing,
        run_ids=[run.id for run in runs],
        names=[run.name for run in runs],
        memory_mb=_memory(runs),
        busy=[f"{run.name}: {busy[run.id]}" for run in runs if run.id in busy],
    )


def _memory(runs: Iterable[Run]) -> float | None:
    """The largest memory that the runs tell of among their metrics, in MiB."""
    found = []
    for run in runs:
        for name, value in run.metrics.items():
            unit = _MEMORY.fullmatch(name)
            if unit is not None:
                word = (unit["unit"] or unit["unit2"]).lower()
                found.append(value * (_GB if word.startswith("g") else 1.0))
    return max(found, default=None)


def merged(first: Evidence, more: Evidence) -> Evidence:
    """More seeds of the same configuration of the same code; a seed known before counts once."""
    known = list(zip(first.seeds, first.values, strict=True))
    for seed, value in zip(more.seeds, more.values, strict=True):
        is_known = (seed, value) in known if seed == UNKNOWN_SEED else seed in first.seeds
        if not is_known:
            known.append((seed, value))
    memory = [one for one in (first.memory_mb, more.memory_mb) if one is not None]
    return first.model_copy(
        update={
            "seeds": [seed for seed, _ in known],
            "values": [value for _, value in known],
            "run_ids": [*first.run_ids, *more.run_ids],
            "names": [*first.names, *more.names],
            "memory_mb": max(memory, default=None),
            "busy": [*first.busy, *more.busy],
        }
    )
