"""An ablation is its own record: reference, one change a row, a verdict each."""

from typing import Any

from tests.flows.evidence.test_account import account, seeded
from wildloop.flows.evidence.ablation import ablation
from wildloop.flows.evidence.account import Account, Branch, Contract
from wildloop.flows.evidence.view import view_of
from wildloop.flows.models.run import Run
from wildloop.flows.project import MetricConfig

BASE = seeded("base", 0, [0.90, 0.905, 0.91], lr=0.1)
BEST = seeded("best", 10, [0.97, 0.975, 0.98], lr=0.3, drop=0.2, mix=1)
LATER = seeded("later", 60, [0.99, 0.991, 0.992], lr=0.4, drop=0.2, mix=1)


def without(first: int, values: list[float], **parameters: Any) -> list[Run]:
    return seeded("p4-ablate", first, values, **({"lr": 0.3, "drop": 0.2, "mix": 1} | parameters))


def verdicts(found: Account) -> dict[str, str]:
    record = ablation(found)
    return {} if record is None else {row.removed: row.verdict for row in record.rows}


def test_rows_are_one_change_from_what_was_ablated_not_from_the_final_best() -> None:
    rows = [
        without(20, [0.93, 0.931, 0.929], drop=0.0),
        without(30, [0.974, 0.979, 0.971], mix=0),
        without(40, [0.93, 0.94, 0.935], mix=0, drop=0.0),
    ]
    found = account(BASE, BEST, *rows, LATER)
    record = ablation(found)
    assert record is not None and record.reference_label == "lr=0.3, drop=0.2, mix=1"
    assert verdicts(found) == {
        "drop: 0.2 -> 0.0": "needed",
        "mix: 1 -> 0": "undecided",
        "drop: 0.2 -> 0.0, mix: 1 -> 0": "no single change",
    }
    told = view_of(found, "s").findings
    assert any(text.startswith("drop: 0.2 -> 0.0: needed (with it 0.975") for text in told)
    assert not any("mix" in text and "needed" in text for text in told if "drop" not in text)


def test_better_without_is_said() -> None:
    found = account(BASE, BEST, without(20, [0.995, 0.996, 0.997], drop=0.0))
    assert list(verdicts(found).values()) == ["not needed: simpler without"]


def test_equal_without_is_simpler_where_the_metric_has_no_spread() -> None:
    base, best = seeded("b", 0, [0.9] * 3, lr=1), seeded("x", 10, [1.0] * 3, lr=2, drop=1)
    rows = [
        seeded("ablate", 20, [1.0], lr=2, drop=0),
        seeded("ablate", 30, [0.9], lr=0, drop=1),
    ]
    assert list(verdicts(account(base, best, *rows)).values()) == [
        "not needed: simpler without",
        "needed",
    ]


def test_of_a_reference_that_shows_nothing_nothing_is_said() -> None:
    found = account(
        BASE,
        seeded("x", 10, [0.91, 0.90, 0.92], lr=0.3, drop=1),
        [*seeded("ablate", 20, [0.5, 0.51, 0.52], lr=0.3, drop=0)],
    )
    assert list(verdicts(found).values()) == ["undecided"]
    assert view_of(found, "s").findings == []


def test_what_was_needed_stays_so_once_the_branch_holds_something_better() -> None:
    rows = without(20, [0.93, 0.931, 0.929], drop=0.0)
    runs = [*BASE, *BEST, *rows, *LATER]
    kept = account(runs).by_run[BEST[0].id].id
    for branch, verdict in (
        (Branch(best=kept, kept=frozenset({kept})), "needed"),
        (Branch(best=account(runs).by_run[LATER[0].id].id, kept=frozenset({kept})), "needed"),
        (Branch(best=account(runs).by_run[LATER[0].id].id), "undecided"),
    ):
        found = Account(runs, Contract(MetricConfig(name="score")), branch)
        assert verdicts(found) == {"drop: 0.2 -> 0.0": verdict}


def test_without_ablation_there_is_no_record() -> None:
    assert ablation(account(BASE, BEST)) is None
