"""A configuration as a decision notes it."""

import re
from collections.abc import Iterable, Mapping

from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.settings import title_of
from wildloop.flows.models.keep import Evidence
from wildloop.flows.models.run import Run

_MEMORY = re.compile(
    r"(?:.*/)?(?:peak|max)[-_]?(?:gpu|cuda|v?ram|rss)?[-_]?(?:memory|mem|vram|ram|rss)"
    r"(?:[-_]used)?[-_](?P<unit>mi?b|gi?b)|(?:.*/)?(?:v?ram|memory|mem)[-_](?P<unit2>mi?b|gi?b)",
    re.IGNORECASE,
)
_GB = 1024.0


def evidence_of(
    one: Configuration, iteration: int, commit: str | None, busy: Mapping[str, str]
) -> Evidence:
    """The record of a configuration.

    Args:
        one: the configuration.
        iteration: number of the iteration that left its code.
        commit: its commit.
        busy: why a run shared its machine, by run id.
    """
    used = one.compared
    return Evidence(
        id=one.id,
        configuration=title_of(one.runs[0]),
        values=used.values,
        seeds=used.seeds,
        failed_seeds=one.missing_seeds,
        run_ids=[run.id for run in one.runs],
        names=[run.name for run in one.runs],
        memory_mb=memory_of(one.runs),
        busy=[f"{run.name}: {busy[run.id]}" for run in one.runs if run.id in busy],
        code=one.code,
        level=one.level,
        iteration=iteration,
        commit=commit,
    )


def memory_of(runs: Iterable[Run]) -> float | None:
    """The largest memory that the runs tell of among their metrics, in MiB."""
    found = []
    for run in runs:
        for name, value in run.metrics.items():
            unit = _MEMORY.fullmatch(name)
            if unit is not None:
                word = (unit["unit"] or unit["unit2"]).lower()
                found.append(value * (_GB if word.startswith("g") else 1.0))
    return max(found, default=None)
