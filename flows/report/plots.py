"""The report's pictures."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from wildloop.flows.evidence.settings import plain_value
from wildloop.flows.models.evo import Choice, EvoSweepSpec, Range, Trial, TrialStatus
from wildloop.flows.report.curves import draw_curves
from wildloop.flows.report.facts import ReportFacts
from wildloop.flows.report.forest import draw_forest
from wildloop.flows.report.progress import draw_progress
from wildloop.flows.report.tree import draw_tree

AXES = 12
LEAST_SHARE = 0.5
FOR_IMPORTANCE = 8


def draw_plots(folder: Path, facts: ReportFacts) -> list[Path]:
    """Draw what can be drawn into `folder`; return the pictures' paths."""
    drawn = [
        draw_forest(folder, facts),
        draw_progress(folder, facts),
        draw_tree(folder, facts),
        draw_curves(folder, facts),
        *_of_settings(folder, facts),
    ]
    return [path for path in drawn if path is not None]


def _of_settings(folder: Path, facts: ReportFacts) -> list[Path]:
    """Every configuration across the settings that vary, and what mattered of these.

    None where fewer than two settings vary.
    """
    metric = facts.metric
    valued = [one for one in facts.account.configurations if one.compared.mean is not None]
    space = varied([one.settings for one in valued])
    if metric is None or len(space) < 2:
        return []
    spec = EvoSweepSpec(
        target_script="any",
        fitness_metric=metric.name,
        fitness_direction=metric.direction,
        search_space=space,
    )
    trials = [
        Trial(
            number=number,
            generation=0,
            parameters={name: _value(one.settings[name], kind) for name, kind in space.items()},
            status=TrialStatus.FINISHED,
            value=one.compared.mean,
        )
        for number, one in enumerate(valued)
        if all(name in one.settings for name in space)
    ]
    if len(trials) < 2:
        return []
    # SciPy and Optuna come along, which reports without such pictures need not pay for.
    from wildloop.flows.search.plots import draw_importance, draw_parallel, importances

    best = facts.account.best if facts.account.gain is not None else None
    thick = next((number for number, one in enumerate(valued) if one is best), None)
    drawn = [draw_parallel(folder, spec, [(one, one.value or 0.0) for one in trials], thick)]
    weights = importances(spec, trials) if len(trials) >= FOR_IMPORTANCE else {}
    return drawn + ([draw_importance(folder, spec, weights, len(trials))] if weights else [])


def varied(settings: Sequence[dict[str, Any]]) -> dict[str, Choice | Range]:
    """The settings that most runs have and that vary, as dimensions of what was tried.

    Numbers make a range from the lowest to the highest; its axis is logarithmic where all are
    above 0 and the highest is 20 times the lowest or more.
    """
    found: dict[str, Choice | Range] = {}
    for name in dict.fromkeys(name for one in settings for name in one):
        values = [one[name] for one in settings if name in one]
        distinct = {plain_value(value) for value in values}
        if len(values) < LEAST_SHARE * len(settings) or len(distinct) < 2:
            continue
        numbers = [number for number in map(_number, values) if number is not None]
        if len(numbers) < len(values):
            found[name] = Choice(values=sorted(distinct)[:AXES])
            continue
        low, high = min(numbers), max(numbers)
        if not low < high or not isfinite(high - low):
            # Minus zero is another text, and no other number.
            continue
        found[name] = Range(low=low, high=high, log=low > 0 and high >= 20 * low)
    kept = list(found.items())[:AXES]
    return {name: one for name, one in kept if name.replace("-", "a").isidentifier()}


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def _value(value: Any, dimension: Choice | Range) -> Any:
    return plain_value(value) if isinstance(dimension, Choice) else float(value)
