"""What a session compares by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wildloop.flows.evidence.target import Target
from wildloop.flows.models.guard import Guard
from wildloop.flows.project import MetricConfig


@dataclass
class Contract:
    """What a session compares by.

    Args:
        metric: name and direction of the primary metric; None: nothing is compared.
        baseline: settings of the baseline, where wildloop.toml names them.
        alpha: probability that a session where nothing helps claims anything.
        target: what the goal asks for.
        command: the baseline's, as wildloop.toml has it; None: any.
        code: digest of the files that the session began with; None: not known.
        is_guarded: whether files are protected, or a command of the project evaluates.
        evaluated: the values of that command by run id; None where there is none.
        confirms: whether Wildloop makes runs of its own.
        guards: bounds on other metrics that whatever is the best must keep.
        begun: when this was fixed, in Unix seconds; None: not known.
    """

    metric: MetricConfig | None
    baseline: Mapping[str, Any] = field(default_factory=dict)
    alpha: float = 0.05
    target: Target | None = None
    command: str | None = None
    code: str | None = None
    is_guarded: bool = False
    evaluated: Mapping[str, float] | None = None
    confirms: bool = False
    guards: Sequence[Guard] = ()
    begun: float | None = None
