"""The report's pictures."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.settings import plain_value, settings_of
from wildloop.flows.evidence.values import scored
from wildloop.flows.metrics import downsample
from wildloop.flows.metrics.sealed import measured
from wildloop.flows.models.evo import Choice, EvoSweepSpec, Range, Trial, TrialStatus
from wildloop.flows.models.run import Run
from wildloop.flows.project import MetricConfig
from wildloop.flows.search.figure import (
    BEST,
    DOTS,
    cut,
    new_figure,
    plain,
    save_figure,
    whole_steps,
)

CURVES = 8
POINTS = 400
AXES = 12
NAME_LENGTH = 40
LEAST_SHARE = 0.5


def draw_plots(folder: Path, runs: Sequence[Run], account: Account) -> list[Path]:
    """Draw what can be drawn into `folder`; return the pictures' paths."""
    metric = account.contract.metric
    if metric is None:
        return []
    found = scored(runs, metric.name)
    if not found:
        return []
    drawn = [
        _progress(folder, found, metric, account),
        _curves(folder, found, metric),
        _parallel(folder, found, metric),
    ]
    return [path for path in drawn if path is not None]


def _progress(
    folder: Path, found: Sequence[tuple[float, Run]], metric: MetricConfig, account: Account
) -> Path:
    """The metric run by run, and the baseline and the best as the account has them."""
    figure, values = new_figure(), [value for value, _ in found]
    axes = figure.subplots()
    axes.scatter(range(1, len(values) + 1), values, s=28, color=DOTS, label="run", zorder=3)
    sides = {"baseline": (account.baseline, "#777777"), "best": (account.best, BEST)}
    for name, (one, color) in sides.items():
        if one is None or one.compared.mean is None or (name == "best" and one is account.baseline):
            continue
        seen = one.compared
        axes.axhline(one.compared.mean, color=color, label=f"{name}: {seen.text}")
        if seen.low is not None and seen.high is not None:
            axes.axhspan(seen.low, seen.high, color=color, alpha=0.12)
    whole_steps(axes)
    axes.set_xlabel("run, in order of creation")
    axes.set_ylabel(plain(metric.name))
    axes.set_title(f"{plain(metric.name)} over the session")
    axes.legend(loc="lower right" if metric.direction == "max" else "upper right")
    return save_figure(figure, folder / "progress.png", grid=True)


def _curves(folder: Path, found: Sequence[tuple[float, Run]], metric: MetricConfig) -> Path | None:
    """Learning curves of the first run and of the best ones."""
    ranked = sorted(found, key=lambda pair: pair[0], reverse=metric.direction == "max")
    chosen = {run.id: run for _, run in [found[0], *ranked[: CURVES - 1]]}
    figure = new_figure()
    axes = figure.subplots()
    count = 0
    for run in chosen.values():
        line = [
            point
            for point in downsample(measured(run).series.get(metric.name, []), POINTS)
            if point.value is not None and isfinite(point.value)
        ]
        if len(line) < 2:
            continue
        count += 1
        steps = [point.step if point.step is not None else i for i, point in enumerate(line)]
        values = [point.value or 0.0 for point in line]
        axes.plot(steps, values, label=_label(run.name), linewidth=1.4)
    if not count:
        return None
    whole_steps(axes)
    axes.set_xlabel("step")
    axes.set_ylabel(plain(metric.name))
    axes.set_title(f"Learning curves: the first run and the best {count - 1 or ''}".strip())
    axes.legend(fontsize=8)
    return save_figure(figure, folder / "learning_curves.png", grid=True)


def _parallel(
    folder: Path, found: Sequence[tuple[float, Run]], metric: MetricConfig
) -> Path | None:
    """Every run across the settings that vary; None where fewer than two do."""
    settings = [settings_of(run) for _, run in found]
    space = varied(settings)
    if len(space) < 2:
        return None
    # SciPy and Optuna come along, which reports without such a picture need not pay for.
    from wildloop.flows.search.plots import draw_parallel

    spec = EvoSweepSpec(
        target_script="any",
        fitness_metric=metric.name,
        fitness_direction=metric.direction,
        search_space=space,
    )
    trials = []
    for number, ((value, _), given) in enumerate(zip(found, settings, strict=True)):
        if not all(name in given for name in space):
            continue
        parameters = {name: _value(given[name], one) for name, one in space.items()}
        trial = Trial(
            number=number,
            generation=0,
            parameters=parameters,
            status=TrialStatus.FINISHED,
            value=value,
        )
        trials.append((trial, value))
    return draw_parallel(folder, spec, trials) if len(trials) > 1 else None


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


def _label(name: str) -> str:
    """A run's name for a legend; one that begins with `_` would be left out of it."""
    shown = cut(name, NAME_LENGTH)
    return f" {shown}" if shown.startswith("_") else shown
