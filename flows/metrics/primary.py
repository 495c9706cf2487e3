"""Which metric a run is judged by."""

import re
from typing import Literal

from flows.models.sweep import SweepRecord
from flows.project import MetricConfig, ProjectConfig
from flows.protocol.plan import parse_plan

CONTRACT = "shared metrics and analytics contract"
_NAMED = re.compile(
    r"primary[ _-]metric[*_]{0,2}[ \t]*(?::|=|is)[*_]{0,2}[ \t]*"
    r"(?:`([^`\n]{1,200})`|([A-Za-z_][\w./@-]{0,199}))(.*)",
    re.IGNORECASE,
)
_MIN = re.compile(r"\b(?:min|minimi[sz]e|lower|lowest|smaller)\b", re.IGNORECASE)
_MAX = re.compile(r"\b(?:max|maximi[sz]e|higher|highest|larger)\b", re.IGNORECASE)


def primary_metric(
    sweep: SweepRecord | None = None,
    plan: str | None = None,
    project: ProjectConfig | None = None,
) -> MetricConfig | None:
    """The primary metric of a run and its direction; None where nothing names one.

    The first that names one counts: the run's sweep; the contract in its session's plan
    (`plan`: the text of tasks.md); the [metric] table of the project's wildloop.toml.
    """
    if sweep is not None and sweep.metric:
        direction: Literal["max", "min"] = "min" if sweep.direction == "min" else "max"
        return MetricConfig(name=sweep.metric, direction=direction)
    configured = project.metric if project is not None else None
    if plan is not None:
        return contract_metric(plan, configured) or configured
    return configured


def contract_metric(plan: str, otherwise: MetricConfig | None = None) -> MetricConfig | None:
    """The metric in a plan's contract: the line `Primary metric: NAME (max|min)`.

    A line without a direction has that of `otherwise` if it is the same metric, else max. None
    where the contract names no metric.
    """
    text = "\n".join(
        text for name, text in parse_plan(plan).sections.items() if name.startswith(CONTRACT)
    )
    named = _NAMED.search(text)
    if named is None:
        return None
    name = (named[1] or named[2]).strip().rstrip(".")
    if not name:
        return None
    low, high = _MIN.search(named[3]), _MAX.search(named[3])
    if low and (not high or low.start() < high.start()):
        return MetricConfig(name=name, direction="min")
    if high is None and otherwise is not None and otherwise.name == name:
        return otherwise
    return MetricConfig(name=name, direction="max")
