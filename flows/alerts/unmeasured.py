"""The alert of a session that measures nothing: its first run has ended without the metric."""

from collections.abc import Sequence
from pathlib import Path

from wildloop.flows.errors import InvalidRequest
from wildloop.flows.guards.commands import scripts_of
from wildloop.flows.models.alert import CONTINUE, STOP, AlertKind, Finding, Severity
from wildloop.flows.models.run import Run
from wildloop.flows.project import load_project


def is_trained(workdir: Path, command: str) -> bool | None:
    """Whether a run executes the project's [train] command; None where that cannot be told.

    False too where the value comes from [evaluate] command, not from the run itself.
    """
    try:
        project = load_project(workdir)
    except InvalidRequest:
        return None
    if project is not None and project.evaluate is not None:
        return False
    trained = project.train.get("command") if project is not None else None
    if not isinstance(trained, str):
        return None
    scripts = scripts_of([trained])
    return bool(scripts & scripts_of([command])) if scripts else None


def unmeasured_finding(text: str, run_id: str, others: Sequence[Run]) -> Finding | None:
    """What to say of a run whose metric was not found; once, while no run has had a value.

    Args:
        text: what was looked for and seen (`flows.metrics.missing.unmeasured`); empty: found.
        run_id: of the run.
        others: the runs of its session, this one among them or not.
    """
    if not text or any(run.unmeasured for run in others if run.id != run_id):
        return None
    if any(run.is_measured for run in others if run.id != run_id):
        return None
    return Finding(
        kind=AlertKind.NO_METRIC,
        severity=Severity.WARNING,
        message=text,
        choices=(CONTINUE, STOP),
        key="no-metric",
    )
