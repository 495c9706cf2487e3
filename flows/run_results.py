"""`experiment_results`: what the next prompt says of the runs that have ended."""

import math
from collections.abc import Mapping, Sequence

from flows.configurations.groups import Configuration, configurations, declared_code
from flows.failures import causes
from flows.log_end import log_end
from flows.models.run import Run, RunStatus
from flows.models.session_record import IterationRecord
from flows.project import MetricConfig
from flows.redaction import redact
from flows.tables import row

RESULTS_LIMIT = 6000
ROWS = 24
LOGS = 4
METRICS = 6
SHOWN_FAILED = 8
CELL = 160
NOTHING = "No run has ended since the last prompt."
WHERE = (
    "More of a run: `GET /runs/{id}`, `/runs/{id}/logs?offset=-4000`, `/runs/{id}/metrics`, "
    "`/runs/{id}/artifacts`."
)


def results_section(
    runs: Sequence[Run],
    logs: Mapping[str, str],
    metric: MetricConfig | None = None,
    others: Sequence[Run] = (),
    records: Sequence[IterationRecord] = (),
) -> str:
    """The runs that have ended since the last prompt, within about 6,000 characters.

    Args:
        runs: these runs.
        logs: ends of the logs of the failed ones, by id.
        metric: the primary metric, which comes first.
        others: all runs of the session, for the failed ideas that are not to be tried again.
        records: the session's records, which tell of changes of code.
    """
    if not runs:
        return "\n\n".join([NOTHING, *_failed_ideas(others, records)])
    first = metric.name if metric else None
    shown = _most_telling(runs, metric)
    parts = ["\n".join([*_head(), *(_row(run, first) for run in shown)])]
    if len(runs) > len(shown):
        parts.append(f"{len(runs) - len(shown)} more runs have ended: GET /runs lists them.")
    parts += _grouped(runs, first, records)
    parts += _repeats(runs, others, records)
    parts += _failures(runs, logs)
    parts += _failed_ideas([run for run in others if run not in runs], records)
    parts.append(WHERE)
    text = parts[0]
    for part in parts[1:]:
        if len(text) + len(part) > RESULTS_LIMIT:
            return f"{text}\n\n[cut for length] {WHERE}"
        text += f"\n\n{part}"
    return text


def _head() -> list[str]:
    return [row(["run", "id", "status", "exit", "seconds", "metrics"]), "|" + " --- |" * 6]


def _row(run: Run, first: str | None) -> str:
    seconds = "-"
    if run.started_at and run.finished_at:
        seconds = f"{run.finished_at - run.started_at:.1f}"
    names = sorted(run.metrics, key=lambda name: (name != first, name))[:METRICS]
    metrics = ", ".join(f"{name}={run.metrics[name]:.6g}" for name in names)
    if first and run.status is RunStatus.FINISHED and first not in run.metrics:
        metrics = f"no {first}! {metrics}"
    return row(
        [
            run.name,
            run.id,
            run.status.value,
            str(run.exit_code),
            seconds,
            metrics[:CELL].rstrip() or "-",
        ]
    )


def _most_telling(runs: Sequence[Run], metric: MetricConfig | None) -> list[Run]:
    """All of a few runs; of many the failed ones and the best, in their order."""
    if len(runs) <= ROWS:
        return list(runs)
    failed = [run for run in runs if run.status is RunStatus.FAILED][: ROWS // 3]
    sign = -1.0 if metric is None or metric.direction == "max" else 1.0

    def place(run: Run) -> float:
        value = run.metrics.get(metric.name, math.nan) if metric else math.nan
        return sign * value if math.isfinite(value) else math.inf

    others = sorted((run for run in runs if run not in failed), key=place)
    kept = {run.id for run in [*failed, *others[: ROWS - len(failed)]]}
    return [run for run in runs if run.id in kept]


def _grouped(
    runs: Sequence[Run], first: str | None, records: Sequence[IterationRecord]
) -> list[str]:
    """Seeds of one configuration together, where there are any."""
    found = [one for one in configurations(runs, first, declared_code(records)) if one.n > 1]
    if not found or first is None:
        return []
    lines = [f"- {one.name}: {first} {one.score}" for one in found[:ROWS]]
    return ["Over seeds (mean ± standard deviation):\n" + "\n".join(lines)]


def _repeats(
    runs: Sequence[Run], others: Sequence[Run], records: Sequence[IterationRecord]
) -> list[str]:
    """Runs that did what another has done before, seed and code included. Reruns are meant to."""
    known: dict[tuple[str, str, str | None], Run] = {}
    lines = []
    fresh = {run.id for run in runs}
    for one in configurations(others, None, declared_code(records)):
        for run in one.runs:
            key = (run.command, str(sorted(run.parameters.items())), one.code)
            first = known.setdefault(key, run)
            if first is not run and run.id in fresh and run.parent_run_id is None:
                lines.append(f"- {run.name} repeats {first.name} ({first.id})")
    if not lines:
        return []
    rest = [f"- and {len(lines) - SHOWN_FAILED} more"] if len(lines) > SHOWN_FAILED else []
    return [
        "Done before with the same command, parameters and seed; a repeat shows nothing new:\n"
        + "\n".join([*lines[:SHOWN_FAILED], *rest])
    ]


def _failures(runs: Sequence[Run], logs: Mapping[str, str]) -> list[str]:
    """Why runs failed, each cause with its log once."""
    found, parts = causes(runs, logs), list[str]()
    for cause in found[:LOGS]:
        run = cause.runs[-1]
        names = ", ".join(one.name for one in cause.runs[:5])
        names += " ..." if len(cause.runs) > 5 else ""
        end = redact(log_end(logs.get(run.id, ""))).replace("```", "'''")
        said = f"{names} failed: {run.error} (`GET /runs/{run.id}/logs`)"
        parts.append(f"{said}\n```\n{end}\n```" if end else said)
    if len(found) > LOGS:
        parts.append(f"{len(found) - LOGS} more causes of failure are in the runs' logs.")
    return parts


def failed_configurations(
    runs: Sequence[Run], records: Sequence[IterationRecord]
) -> list[Configuration]:
    """Configurations whose every run that ended has failed."""
    return [
        one
        for one in configurations(runs, None, declared_code(records))
        if one.failures and not any(run.status is RunStatus.FINISHED for run in one.runs)
    ]


def _failed_ideas(runs: Sequence[Run], records: Sequence[IterationRecord]) -> list[str]:
    found = failed_configurations(runs, records)
    if not found:
        return []
    lines = []
    for one in found[-SHOWN_FAILED:]:
        why = " ".join((one.failures[-1].error or "no reason is known").split())[:CELL]
        lines.append(f"- {one.name}: {why} ({len(one.failures)} of {len(one.runs)} runs)")
    if len(found) > SHOWN_FAILED:
        lines.append(f"- and {len(found) - SHOWN_FAILED} before these")
    return ["Failed before; do not try these again as they were:\n" + "\n".join(lines)]
