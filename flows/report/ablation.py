"""Ablations: which runs are one, what each took away from the best, and what that cost."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flows.configurations.groups import Configuration
from flows.configurations.settings import differences
from flows.models.run import Run
from flows.report.statistics import Difference, difference

# `ablation`, `ablate`, `p4-ablate-03`; also what authors write for it.
_WORD = re.compile(r"ablat", re.IGNORECASE)
RULE = (
    "A run counts as an ablation if its name, or its sweep's name or goal, has the word "
    "*ablation* or *ablate* in it. It is set against the configuration named above the table, by "
    "means over seeds; what was removed is what differs between the two."
)


@dataclass(frozen=True)
class Ablation:
    """One component taken away: the runs without it, against those of the reference."""

    removed: str
    without: Configuration
    effect: Difference | None


def is_ablation(run: Run, sweep_texts: Mapping[str, str]) -> bool:
    """Whether a run belongs to an ablation; `sweep_texts`: name and goal of each sweep, by id."""
    text = f"{run.name} {sweep_texts.get(run.sweep_id or '', '')}"
    return _WORD.search(text) is not None


def ablations(ablated: Sequence[Configuration], reference: Configuration) -> list[Ablation]:
    """What each ablated configuration shows, in order of their first runs."""
    return [
        Ablation(removed(one, reference), one, difference(one.values, reference.values))
        for one in ablated
    ]


def removed(without: Configuration, reference: Configuration) -> str:
    """What the reference has and the ablated configuration has not."""
    changes = differences(reference.settings, without.settings)
    said = [f"{name}: {_said(was)} -> {_said(now)}" for name, (was, now) in changes.items()]
    if without.code != reference.code:
        said.append(f"code ({without.runs[0].name})")
    return ", ".join(said) or without.runs[0].name


def _said(value: object) -> str:
    return "not set" if value is None else str(value)
