"""What is said of a run that ended without the metric that it is judged by."""

from collections import defaultdict
from pathlib import Path

from wildloop.flows.files.paths import SessionPaths
from wildloop.flows.metrics.primary import plan_metric
from wildloop.flows.metrics.read import project_metric
from wildloop.flows.models.metrics import RunMetrics, TakenMetric

SHOWN = 8
LOOKED_IN = (
    "metrics.jsonl, W&B, TensorBoard, MLflow, CSV and JSON files of its folder and workdir, run.log"
)


def wanted_names(workdir: Path, session_id: str | None) -> list[str]:
    """What a run of a session is judged by beside wildloop.toml: what the plan names."""
    if session_id is None or project_metric(workdir) is not None:
        return []
    try:
        plan = SessionPaths.of(workdir, session_id).tasks.read_text("utf-8", "replace")
    except OSError:
        return []
    named = plan_metric(plan)
    return [named.name] if named is not None else []


def unmeasured(metrics: RunMetrics, is_training: bool | None = True) -> str:
    """That the wanted metric was not found, what was seen instead, and the mend; empty if it was.

    Nothing is said of a metric that ended as NaN or infinite: it was found; nor of a run that need
    not have one.

    Args:
        metrics: of the run.
        is_training: whether it is to measure; None: if it has measured anything at all.
    """
    lacking = [one for one in metrics.taken if one.found is None]
    expected = bool(metrics.series) if is_training is None else is_training
    return _told(lacking[0], metrics) if lacking and expected else ""


def _told(one: TakenMetric, metrics: RunMetrics) -> str:
    files: dict[str, list[str]] = defaultdict(list)
    for name in metrics.series:
        files[Path(metrics.origins.get(name, "")).name].append(name)
    seen = "; ".join(
        f"{', '.join(names[:SHOWN])}{' ...' if len(names) > SHOWN else ''} ({file})"
        for file, names in list(files.items())[:SHOWN]
    )
    text = f"{one.wanted} not found; seen: {seen or 'no metric at all'}; looked in: {LOOKED_IN}"
    if one.others:
        might = " or ".join(f'name = "{name}"' for name in one.others)
        return f"{text}; if it is one of these, say which: `[metric] {might}` in wildloop.toml"
    if seen:
        return (
            f'{text}; add `[metric] name = "..."` with the name that it has to wildloop.toml, '
            'or `[metric] pattern = "...([0-9.]+)"` for its line of the log'
        )
    return (
        f'{text}; let the command print "{one.wanted}: VALUE" or append {{"{one.wanted}": VALUE}} '
        "to $WILDLOOP_RUN_DIR/metrics.jsonl, or add `[metric] pattern` for its line of the log"
    )
