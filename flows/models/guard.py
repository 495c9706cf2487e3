"""A guard of wildloop.toml: a bound on a metric beside the primary one."""

import re
from dataclasses import dataclass

_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_FORM = re.compile(
    rf"(?P<metric>\S+)\s+(?:(?P<word>at most|at least)\s+(?P<value>{_NUMBER})|"
    rf"(?P<than>no more than|no less than)\s+the\s+baseline(?:'s)?(?:\s+by\s+(?P<share>{_NUMBER})"
    r"\s*%)?)",
)
FORMS = "'latency_ms at most 20' or 'peak_memory no more than the baseline's by 10 %'"


@dataclass(frozen=True)
class Guard:
    """A bound on another metric.

    Args:
        metric: its name.
        is_most: whether larger values break it; else smaller ones.
        value: the bound; None: the baseline's mean, by `share` more or less.
        share: of the baseline's mean.
        text: as it was written.
    """

    metric: str
    is_most: bool
    value: float | None
    share: float
    text: str


def parse_guard(text: str) -> Guard:
    """A guard as wildloop.toml has it.

    Raises:
        ValueError: it is none; the text names the forms.
    """
    found = _FORM.fullmatch(" ".join(text.split()))
    if found is None:
        raise ValueError(f"'{text}' is no guard: write it as {FORMS}")
    word = found["word"] or found["than"]
    return Guard(
        metric=found["metric"],
        is_most=word in ("at most", "no more than"),
        value=float(found["value"]) if found["value"] else None,
        share=float(found["share"] or 0) / 100,
        text=" ".join(text.split()),
    )
