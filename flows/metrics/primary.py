"""Which metric a run is judged by."""

import re
from typing import Literal, NamedTuple

from wildloop.flows.models.evidence import Direction
from wildloop.flows.models.sweep import SweepRecord
from wildloop.flows.project import MetricConfig, ProjectConfig
from wildloop.flows.protocol.plan import parse_plan

CONTRACT = "shared metrics and analytics contract"
_NAMED = re.compile(
    r"primary[ _-]metric[*_]{0,2}[ \t]*(?::|=|is)[*_]{0,2}[ \t]*"
    r"(?:`(?P<quoted>[^`\n]{1,200})`"
    r"|(?P<plain>[A-Za-z_][\w./@-]{0,199})(?=[ \t]*(?:$|[(,;:.*\n]|-[ \t])))"
    r"(?P<rest>.*)",
    re.IGNORECASE | re.MULTILINE,
)
_CLAUSES = re.compile(r"[()\[\];,:.|]|\s-\s")
# A clause that says nothing but the direction. What stands within prose is no statement of it.
_MIN = re.compile(r"min|minimi[sz]ed?(?: it)?|(?:lower|smaller|less) is better", re.IGNORECASE)
_MAX = re.compile(r"max|maximi[sz]ed?(?: it)?|(?:higher|larger|more) is better", re.IGNORECASE)


class PlanMetric(NamedTuple):
    """What a plan's contract names as its metric; no direction where it states none, or two."""

    name: str
    direction: Direction | None


def primary_metric(
    sweep: SweepRecord | None = None,
    session: MetricConfig | None = None,
    project: ProjectConfig | None = None,
) -> MetricConfig | None:
    """The primary metric of a run and its direction; None where nothing names one.

    The first that names one counts: the run's sweep; the contract of its session; the [metric]
    table of the project's wildloop.toml.
    """
    if sweep is not None and sweep.metric:
        direction: Literal["max", "min"] = "min" if sweep.direction == "min" else "max"
        return MetricConfig(name=sweep.metric, direction=direction)
    if session is not None:
        return session
    return project.metric if project is not None else None


def plan_metric(plan: str) -> PlanMetric | None:
    """The metric of a plan's contract: the line `Primary metric: NAME (max)` or `(min)`.

    A name is one word, or stands in backquotes. The direction is a clause of its own: `(min)`,
    `direction: max`, `lower is better`. None where the contract names no metric in this form.
    """
    text = "\n".join(
        text for name, text in parse_plan(plan).sections.items() if name.startswith(CONTRACT)
    )
    named = _NAMED.search(text)
    if named is None:
        return None
    name = (named["quoted"] or named["plain"]).strip().rstrip(".")
    return PlanMetric(name, _direction(named["rest"])) if name else None


def _direction(rest: str) -> Direction | None:
    clauses = [clause.strip(" \t*_`'\"") for clause in _CLAUSES.split(rest)]
    found: set[Direction] = {"min" for one in clauses if _MIN.fullmatch(one)}
    found |= {"max" for one in clauses if _MAX.fullmatch(one)}
    return found.pop() if len(found) == 1 else None
