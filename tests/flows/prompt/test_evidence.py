"""The evidence that a reflection is given beside the table of what was tried."""

from tests.support.pages import model_runs, model_state
from tests.support.records import made_account, made_run
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.models.run import Run
from wildloop.flows.models.spending import Spending
from wildloop.flows.prompt.evidence import evidence_section
from wildloop.flows.prompt.tokens import token_count


def section(runs: list[Run], logs: dict[str, str] | None = None) -> str:
    state = model_state(
        "reflection",
        runs=runs,
        account=made_account(runs),
        logs=logs or {},
        used=Spending(hours=1.5, cost_usd=2),
    )
    return evidence_section(state)


BASE = [
    made_run(n, 0.5 + 0.01 * n, name=f"baseline-{n}", parameters={"lr": 0.1, "seed": n})
    for n in (1, 2, 3)
]


def test_the_best_and_the_baseline_are_told_with_their_runs() -> None:
    best = [made_run(n + 3, 0.9 + 0.01 * n, parameters={"lr": 0.3, "seed": n}) for n in (1, 2, 3)]
    text = section([*BASE, *best])
    assert "- best: lr=0.3: score 0.92 ± 0.01 (n=3), runs id-0004, id-0005, id-0006" in text
    assert "- baseline: lr=0.1: score 0.52 ± 0.01 (n=3), runs id-0001, id-0002, id-0003" in text
    assert "$2.00, 1.50 h since the start" in text


def test_an_ablation_is_told_row_by_row() -> None:
    best = [
        made_run(n + 3, 0.9 + 0.001 * n, parameters={"lr": 0.3, "w": 8, "seed": n})
        for n in (1, 2, 3)
    ]
    without = [
        made_run(n + 6, 0.6 + 0.001 * n, name="ablate-w", parameters={"lr": 0.3, "seed": n})
        for n in (1, 2, 3)
    ]
    assert "- ablation of lr=0.3, w=8: w: 8 -> not set: needed" in section([*BASE, *best, *without])


def test_failures_are_counted_by_cause() -> None:
    runs = [*BASE, *(made_run(n, name=f"bad-{n}") for n in (4, 5, 6))]
    logs = {
        "id-0004": "RuntimeError: out of memory at 0x7f",
        "id-0005": "RuntimeError: out of memory at 0x9f",
        "id-0006": "KeyError: 'x'",
    }
    text = section(runs, logs)
    assert "- failed: 2 x RuntimeError: out of memory at 0x7f (bad-4, bad-5)" in text
    assert "- failed: 1 x KeyError: 'x' (bad-6)" in text


def test_a_session_without_a_metric_says_so() -> None:
    state = model_state("reflection", runs=model_runs(), account=Account([], Contract(None)))
    assert "No primary metric is configured" in evidence_section(state)


def test_it_stays_short() -> None:
    runs = [made_run(n, 0.1, parameters={"lr": n, "x": "y" * 200}) for n in range(1000)]
    runs += [made_run(n, error=f"{chr(97 + n % 26) * 900}") for n in range(1000, 1200)]
    assert token_count(section(runs)) < 700
