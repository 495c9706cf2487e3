"""What a reflection is to weigh: the runs, the best against the baseline, failures, changes."""

from collections.abc import Mapping, Sequence

from flows.configurations.groups import (
    Configuration,
    baseline_of,
    configurations,
    declared_code,
    pooled_deviation,
    ranked,
)
from flows.diversity import changes
from flows.failures import causes
from flows.models.run import Run, RunStatus
from flows.models.session_record import IterationRecord
from flows.models.spending import Spending
from flows.project import MetricConfig
from flows.redaction import redact
from flows.results import scored
from flows.tables import row

EVIDENCE_LIMIT = 9000
CONFIGURATIONS = 15
CAUSES = 8
CHANGES = 20
CELL = 160
SEEDS_WANTED = 3


def evidence_section(
    records: Sequence[IterationRecord],
    runs: Sequence[Run],
    logs: Mapping[str, str],
    metric: MetricConfig | None,
    spent: Spending,
) -> str:
    """The evidence as Markdown, within about 9,000 characters.

    Args:
        records: the session's records in their order.
        runs: all its runs.
        logs: ends of the logs of failed runs, by id.
        metric: the primary metric; without one nothing can be compared, which is said.
        spent: what the session has used.
    """
    found = configurations(runs, metric.name if metric else None, declared_code(records))
    parts = [
        "### Best against baseline\n\n" + _comparison(found, metric),
        "### Runs by configuration\n\n" + _table(found, metric),
        "### Failures by cause\n\n" + _causes(runs, logs),
        "### Changes tried\n\n" + _changes(records, runs, metric),
        "### Spent\n\n" + _spent(records, runs, spent),
    ]
    text = "\n\n".join(parts)
    if len(text) > EVIDENCE_LIMIT:
        text = text[:EVIDENCE_LIMIT] + "\n[cut: the rest is in GET /runs and the iteration log]"
    return text


def _comparison(found: Sequence[Configuration], metric: MetricConfig | None) -> str:
    if metric is None:
        return (
            "No primary metric is configured ([metric] name in wildloop.toml), so nothing is "
            "compared here."
        )
    order, base = ranked(found, metric.direction), baseline_of(found)
    if not order or base is None:
        return f"No finished run has `{metric.name}`."
    best, spread = order[0], pooled_deviation(found)
    lines = [
        f"- best: {best.name}: {metric.name} {best.score}, runs {_ids(best)}",
        f"- baseline: {base.name}: {metric.name} {base.score}, runs {_ids(base)}",
    ]
    if best is base:
        return "\n".join([*lines, "- Nothing better than the baseline was found."])
    gain = (best.mean or 0.0) - (base.mean or 0.0)
    lines.append(f"- difference of means: {gain:+.5g} ({metric.direction} is better)")
    if spread is None:
        lines.append("- The spread over seeds is not known: no configuration has two seeds.")
    else:
        error = spread * (1 / best.n + 1 / base.n) ** 0.5
        word = "more" if abs(gain) > 2 * error else "NOT more"
        lines.append(
            f"- spread over seeds (pooled): {spread:.2g}; the difference is {word} than twice its "
            f"standard error of {error:.2g}"
        )
    lines += [
        f"- In doubt: the {what} has {one.n} of at least {SEEDS_WANTED} seeds."
        for what, one in (("best", best), ("baseline", base))
        if one.n < SEEDS_WANTED
    ]
    return "\n".join(lines)


def _ids(one: Configuration) -> str:
    finished = [run.id[:8] for run in one.runs if run.status is RunStatus.FINISHED]
    return ", ".join(finished[:6]) + (" ..." if len(finished) > 6 else "")


def _table(found: Sequence[Configuration], metric: MetricConfig | None) -> str:
    if not found:
        return "No run was created."
    order = ranked(found, metric.direction) if metric else []
    order += [one for one in found if one not in order]
    lines = [row(["configuration", "n", "mean", "sd", "failed", "runs"]), "|" + " --- |" * 6]
    for one in order[:CONFIGURATIONS]:
        deviation = f"{one.deviation:.2g}" if one.deviation is not None else "-"
        mean = f"{one.mean:.5g}" if one.mean is not None else "-"
        counts = [str(len(one.failures)), str(len(one.runs))]
        lines.append(row([one.name, str(one.n), mean, deviation, *counts]))
    if len(order) > CONFIGURATIONS:
        lines.append(f"\n{len(order) - CONFIGURATIONS} more configurations, none of them better.")
    return "\n".join(lines)


def _causes(runs: Sequence[Run], logs: Mapping[str, str]) -> str:
    found = sorted(causes(runs, logs), key=lambda cause: -len(cause.runs))
    if not found:
        return "No run failed."
    lines = []
    for cause in found[:CAUSES]:
        names = ", ".join(run.name for run in cause.runs[:4])
        names += " ..." if len(cause.runs) > 4 else ""
        lines.append(f"- {len(cause.runs)} x {redact(cause.text)[:CELL]} ({names})")
    if len(found) > CAUSES:
        lines.append(f"- {len(found) - CAUSES} more causes")
    return "\n".join(lines)


def _changes(
    records: Sequence[IterationRecord], runs: Sequence[Run], metric: MetricConfig | None
) -> str:
    """What each declared change brought: the best of its runs against the best before them."""
    tried = changes(records)
    if not tried:
        return "No iteration declared a change."
    lines = [row(["iteration", "kind", "change", "outcome"]), "| --- | --- | --- | --- |"]
    for it, change in tried[-CHANGES:]:
        ids = {id for other in records if other.index == it.index for id in other.run_ids}
        outcome = _outcome([run for run in runs if run.id in ids], runs, metric)
        lines.append(row([str(it.index), change.kind.value, change.text[:CELL], outcome]))
    return "\n".join(lines)


def _outcome(own: Sequence[Run], runs: Sequence[Run], metric: MetricConfig | None) -> str:
    failed = sum(run.status is RunStatus.FAILED for run in own)
    values = [value for value, _ in scored(own, metric.name)] if metric else []
    if not values or metric is None:
        return f"{len(own)} runs, {failed} failed, no value" if own else "no runs"
    first = min(run.created_at for run in own)
    earlier = [run for run in runs if run.created_at < first and run not in own]
    before = [value for value, _ in scored(earlier, metric.name)]
    pick = max if metric.direction == "max" else min
    text = f"best of {len(values)} runs {pick(values):.5g}"
    if before:
        text += f" ({pick(values) - pick(before):+.5g} on the best before)"
    return text + (f", {failed} failed" if failed else "")


def _spent(records: Sequence[IterationRecord], runs: Sequence[Run], spent: Spending) -> str:
    calls = len(records)
    seconds = sum((it.finished_at or it.started_at) - it.started_at for it in records)
    return (
        f"{calls} agent calls in {seconds / 3600:.2f} h, {len(runs)} runs, "
        f"{spent.gpu_hours:.2f} slot-hours, "
        f"${spent.cost_usd:.2f}, {spent.hours:.2f} h since the start."
    )
