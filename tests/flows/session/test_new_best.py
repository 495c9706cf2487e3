"""When a new best is told of."""

from wildloop.flows.models.evidence import BestResult, Comparison, Shown
from wildloop.flows.session.evidence import is_new_best


def shown(id: str | None, *, gain: bool = True) -> Shown:
    best = BestResult(run_id="r", run_name="r", metric="score", value=1.0, id=id) if id else None
    return Shown(of="", best=best, gain=Comparison(test="exact", gain=1.0) if gain else None)


def test_only_another_configuration_that_beats_the_baseline_is_a_new_best() -> None:
    assert is_new_best(None, shown("a"))
    assert is_new_best(shown(None), shown("a"))
    assert is_new_best(shown("a"), shown("b"))
    assert not is_new_best(shown("a"), shown("a"))
    assert not is_new_best(shown("a"), shown(None))
    assert not is_new_best(None, shown("baseline", gain=False))


def test_the_baseline_as_the_best_was_none() -> None:
    assert is_new_best(shown("a", gain=False), shown("a"))
