"""When the search goes round in circles: plateaus, and one kind of change over and over."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from flows.configurations.groups import (
    Configuration,
    configurations,
    declared_code,
    pooled_deviation,
    ranked,
)
from flows.models.change import Change, ChangeKind
from flows.models.run import Run
from flows.models.session_record import IterationRecord
from flows.project import MetricConfig
from flows.results import scored
from flows.struggle import STALL_RUNS, plateau

SAME_KIND = 3
NEAR = 4


def diversity_section(
    records: Sequence[IterationRecord],
    runs: Sequence[Run],
    metric: MetricConfig | None,
    k: int = STALL_RUNS,
) -> str:
    """What the next prompt says of plateaus and kinds of change; empty when all is well.

    Args:
        records: the session's records in their order.
        runs: all its runs.
        metric: the primary metric; without one there is no plateau.
        k: number of finished runs without improvement that make a plateau.
    """
    parts = []
    stalled = None
    if metric is not None:
        values = [value for value, _ in scored(runs, metric.name)]
        stalled = plateau(values, metric.direction, k)
    repeated = same_kind(records)
    if stalled:
        parts.append(stalled)
    if repeated:
        parts.append(
            f"The last {SAME_KIND} iterations that changed something all tried the same kind of "
            f"change: {repeated.value}."
        )
    if metric is not None and (stalled or repeated):
        parts.append(_near_misses(records, runs, metric))
    if stalled or repeated:
        parts.append(_other_kinds(records))
    if undeclared(records):
        parts.append(
            f"{undeclared(records)} did not say what kind of change it made. End the reply with "
            f'`<change kind="...">one line</change>`: one of {", ".join(ChangeKind)}.'
        )
    return "## Where to look next\n\n" + "\n\n".join(filter(None, parts)) + "\n" if parts else ""


def changes(records: Sequence[IterationRecord]) -> list[tuple[IterationRecord, Change]]:
    """The iterations that declared a change, `none` left out; the last call of each."""
    calls = [it for it in records if it.kind == "iteration"]
    groups = [list(group) for _, group in groupby(calls, key=lambda it: it.index)]
    told = [[it for it in group if it.change is not None] for group in groups]
    found = [(group[-1], group[-1].change) for group in told if group]
    return [(it, one) for it, one in found if one and one.kind is not ChangeKind.NONE]


def same_kind(records: Sequence[IterationRecord], number: int = SAME_KIND) -> ChangeKind | None:
    """The kind of the last `number` declared changes, if they share one."""
    kinds = [change.kind for _, change in changes(records)[-number:]]
    return kinds[0] if len(kinds) == number and len(set(kinds)) == 1 else None


def undeclared(records: Sequence[IterationRecord]) -> str | None:
    """The last iteration's label, if it created runs or changed files and declared nothing."""
    calls = [it for it in records if it.kind == "iteration"]
    group = [it for it in calls if it.index == calls[-1].index]
    has_work = any(it.files_changed or it.run_ids for it in group)
    is_told = any(it.change is not None for it in group)
    return group[0].label if group and has_work and not is_told else None


def near_misses(
    records: Sequence[IterationRecord], runs: Sequence[Run], metric: MetricConfig
) -> list[Configuration]:
    """The best configuration and those whose means lie within the spread of it.

    The spread is the standard deviation over seeds, pooled over all configurations. While it is
    unknown the best few are taken.
    """
    found = configurations(runs, metric.name, declared_code(records))
    order = ranked(found, metric.direction)[: NEAR + 1]
    spread = pooled_deviation(found)
    if not order or spread is None:
        return order
    best = order[0].mean or 0.0
    return [one for one in order if abs((one.mean or 0.0) - best) <= 2 * spread]


def _near_misses(
    records: Sequence[IterationRecord], runs: Sequence[Run], metric: MetricConfig
) -> str:
    near = near_misses(records, runs, metric)
    if len(near) < 2:
        return ""
    lines = [f"- {one.name}: {metric.name} {one.score}" for one in near]
    return (
        "The best and its near-misses (within twice the spread over seeds, where it is known). "
        "What differs between them may be worth combining:\n" + "\n".join(lines)
    )


def _other_kinds(records: Sequence[IterationRecord]) -> str:
    """What has been tried how often, and what to try instead."""
    counts = Counter(change.kind for _, change in changes(records))
    kinds = [kind for kind in ChangeKind if kind is not ChangeKind.NONE]
    tried = ", ".join(f"{kind.value} {counts[kind]}" for kind in kinds)
    last = same_kind(records)
    fewest = sorted((kind for kind in kinds if kind is not last), key=lambda kind: counts[kind])
    return (
        f"Changes so far: {tried}. Make the next one of a different kind, such as "
        f"{fewest[0].value} or {fewest[1].value}, and change the plan for it if need be."
    )
