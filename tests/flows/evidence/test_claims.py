"""What lessons claim of two settings, and what later sessions say of it."""

import pytest

from tests.support.records import made_account, made_run
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.claims import bears_out, claims, instead
from wildloop.flows.evidence.view import lessons
from wildloop.flows.models.memory import Claim, Memory, MemorySource, weight
from wildloop.flows.models.run import Run


def group(first: int, values: list[float], **parameters: object) -> list[Run]:
    return [
        made_run(
            first + seed,
            value,
            parameters=parameters,
            seed=seed,
            created_at=float(first),
            code=str(parameters.pop("code", "c")),
        )
        for seed, value in enumerate(values)
    ]


BASE = [0.70, 0.72, 0.71, 0.69]
GOOD = [0.80, 0.81, 0.79, 0.80]


def first_session() -> Account:
    return made_account([*group(0, BASE, lr=0.1), *group(10, GOOD, lr=0.3)])


def the_claim() -> Claim:
    (found,) = claims(first_session()).values()
    return found


def test_a_gain_by_settings_claims_something_and_one_by_code_does_not() -> None:
    claim = the_claim()
    assert (claim.ours, claim.theirs) == ({"lr": 0.3}, {"lr": 0.1})
    assert claim.gain == pytest.approx(0.095)
    other = [run.model_copy(update={"code": "d"}) for run in group(10, GOOD, lr=0.3)]
    assert claims(made_account([*group(0, BASE, lr=0.1), *other])) == {}
    shown = lessons(first_session())
    assert [one.claim for one in shown.values()] == [claim]


def test_a_lesson_has_the_runs_that_show_it() -> None:
    better, base = group(10, GOOD, lr=0.3), group(0, BASE, lr=0.1)
    failed = [
        made_run(number, status="failed", parameters={"lr": 3.0 + number}, code="c")
        for number in (20, 21)
    ]
    behind = {
        text: one.runs for text, one in lessons(made_account([*base, *better, *failed])).items()
    }
    (gain,) = (ids for text, ids in behind.items() if " gives " in text)
    assert gain == [run.id for run in [*better, *base]]
    (region,) = (ids for text, ids in behind.items() if "failed" in text)
    assert sorted(region) == sorted(run.id for run in failed)


def test_the_runs_of_a_lesson_are_named_in_the_prompt() -> None:
    one = Memory(
        id="m",
        content="lr=0.3 gives score 0.8",
        project="/p",
        created_at=1.0,
        evidence="confirmed",
        runs=[f"{number}234567-89ab" for number in range(5)],
    )
    assert one.line.endswith("(shown, confirmed, by runs 0234567-, 1234567-, 2234567- ...)")


@pytest.mark.parametrize(
    ("base", "good", "expected"),
    [
        (BASE, GOOD, True),
        (BASE, [0.71, 0.70, 0.69, 0.72], False),
        (BASE, [0.60, 0.61, 0.59, 0.60], False),
        # Wide intervals, or a single seed, say nothing.
        ([0.7, 0.9], [0.72, 0.88], None),
        (BASE, [0.70], None),
        (BASE, [], None),
    ],
)
def test_a_later_session_bears_a_claim_out_or_contradicts_it_or_is_silent(
    base: list[float], good: list[float], expected: bool | None
) -> None:
    later = made_account([*group(0, base, lr=0.1), *group(10, good, lr=0.3)])
    assert bears_out(later, the_claim()) is expected


def test_settings_are_found_again_whatever_the_code_but_only_on_one_code() -> None:
    moved = [
        run.model_copy(update={"code": "new"})
        for run in [*group(0, BASE, lr=0.1), *group(10, [0.70, 0.71, 0.69, 0.70], lr="0.30")]
    ]
    later = made_account(moved)
    assert bears_out(later, the_claim()) is False
    assert instead(later, the_claim()).startswith("0.7 ± 0.0082 (n=4) against 0.705 ")
    mixed = [*moved[:4], *group(10, [0.70, 0.71, 0.69, 0.70], lr=0.3)]
    assert bears_out(made_account(mixed), the_claim()) is None


def test_a_part_that_was_needed_and_is_not_any_more_is_contradicted() -> None:
    def session(without: list[float]) -> Account:
        ablated = [
            run.model_copy(update={"name": f"ablate-{run.name}", "created_at": 30.0})
            for run in group(30, without, lr=0.3, width=8)
        ]
        tuned = group(10, GOOD, lr=0.3, width=64)
        return made_account([*group(0, BASE, lr=0.1, width=8), *tuned, *ablated])

    found = claims(session([0.74, 0.75, 0.73, 0.74]))
    (needed,) = (claim for text, claim in found.items() if ": needed (" in text)
    assert (needed.ours["width"], needed.theirs["width"]) == (64, 8)
    assert bears_out(session([0.80, 0.81, 0.79, 0.80]), needed) is False
    assert bears_out(session([0.74, 0.75, 0.73, 0.74]), needed) is True


def test_what_is_contradicted_says_so_and_counts_less_until_it_is_shown_again() -> None:
    one = Memory(
        id="m",
        content="lr=0.3 gives score 0.8",
        source=MemorySource.REFLECTION,
        project="/p",
        created_at=1.0,
        evidence="confirmed",
    )
    gone = one.model_copy(
        update={"contradicted_by": "s-2", "contradicted_at": 2.0, "instead": "0.7 against 0.71"}
    )
    assert one.line.endswith("(shown, confirmed)")
    assert gone.line.endswith(
        "(shown then, confirmed; CONTRADICTED since by session s-2: 0.7 against 0.71)"
    )
    assert weight(gone, 3.0) == pytest.approx(weight(one, 3.0) / 4, rel=1e-6)
    again = gone.model_copy(update={"confirmed_at": 3.0})
    assert again.standing == "shown, confirmed"
