"""What a gain must not cost."""

import pytest

from tests.support.records import made_account, made_run
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.guards import breach
from wildloop.flows.models.guard import parse_guard


def account(**told: float) -> Account:
    """A baseline that takes 10 ms, and a configuration that tells this."""
    base = made_run(1, 0.5, seed=0)
    base.metrics["latency_ms"] = 10.0
    other = made_run(2, 0.9, seed=0, parameters={"lr": 1})
    other.metrics |= told
    return made_account([base, other])


@pytest.mark.parametrize(
    ("guard", "latency", "is_broken"),
    [
        ("latency_ms at most 20", 20, False),
        ("latency_ms at most 20", 20.1, True),
        ("latency_ms at least 5", 4, True),
        ("latency_ms no more than the baseline's by 10 %", 11, False),
        ("latency_ms no more than the baseline's by 10 %", 11.1, True),
        ("latency_ms no less than the baseline's", 9.9, True),
    ],
)
def test_a_guard_holds_or_breaks(guard: str, latency: float, is_broken: bool) -> None:
    found = account(latency_ms=latency)
    base, one = found.configurations
    said = breach(parse_guard(guard), one, base)
    assert (said is not None) == is_broken


def test_what_is_not_told_breaks_it() -> None:
    base, one = account().configurations
    said = breach(parse_guard("latency_ms at most 20"), one, base)
    assert said is not None and "tell no latency_ms" in said


@pytest.mark.parametrize("text", ["latency", "latency_ms below 3", "a at most b", ""])
def test_no_guard(text: str) -> None:
    with pytest.raises(ValueError, match="write it as"):
        parse_guard(text)
