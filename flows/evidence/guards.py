"""Guards: what a gain in the primary metric must not cost."""

import statistics

from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.estimate import ROUNDING
from wildloop.flows.models.guard import Guard


def bound_of(guard: Guard, baseline: Configuration | None) -> float | None:
    """What the metric is held to; None where the baseline has no value."""
    if guard.value is not None:
        return guard.value
    base = mean_of(baseline, guard.metric) if baseline is not None else None
    if base is None:
        return None
    return base + (1 if guard.is_most else -1) * guard.share * abs(base)


def breach(guard: Guard, one: Configuration, baseline: Configuration | None) -> str | None:
    """How a configuration breaks a guard; None where it does not.

    What its runs do not tell cannot be held to a bound, so that breaks it as well.
    """
    bound, mean = bound_of(guard, baseline), mean_of(one, guard.metric)
    if bound is None:
        return f"{guard.text}: the baseline tells no {guard.metric}"
    if mean is None:
        return f"{guard.text}: its runs tell no {guard.metric}"
    slack = ROUNDING * max(abs(bound), abs(mean))
    is_broken = mean > bound + slack if guard.is_most else mean < bound - slack
    return f"{guard.text}: {mean:.5g}, the bound is {bound:.5g}" if is_broken else None


def mean_of(one: Configuration, metric: str) -> float | None:
    """The mean of any metric over the runs that a configuration is measured by."""
    values = [run.metrics[metric] for run in one.measured if metric in run.metrics]
    return statistics.fmean(values) if values else None
