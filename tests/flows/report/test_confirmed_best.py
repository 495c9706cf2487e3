"""What the report says of a best that Wildloop has confirmed: the way back, and the hold-out."""

from tests.support.reporting import make_facts, make_run
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.estimate import estimate_of
from wildloop.flows.models.run import Run
from wildloop.flows.models.sealed import SealedReport, SealedValue
from wildloop.flows.project import MetricConfig
from wildloop.flows.report.document import document
from wildloop.flows.report.facts import ReportFacts

METRIC = MetricConfig(name="val_accuracy")


def group(first: int, lr: float, values: list[float], **fields: object) -> list[Run]:
    return [
        make_run(first + seed, value, parameters={"lr": lr}, seed=first + seed, **fields)
        for seed, value in enumerate(values)
    ]


def confirmed(sealed: SealedReport | None = None) -> ReportFacts:
    """Two configurations, each of the agent's seeds and of Wildloop's own."""
    mine = group(1, 0.1, [0.90, 0.91, 0.92]) + group(11, 0.3, [0.98, 0.99, 0.985])
    own = group(1001, 0.1, [0.90, 0.91, 0.905], chat_session_id="session-1:confirm")
    own += group(1011, 0.3, [0.95, 0.97, 0.963], chat_session_id="session-1:confirm")
    facts = make_facts(mine, session={"sealed": sealed})
    facts.own = own
    facts.account = Account([*mine, *own], Contract(METRIC, confirms=True))
    return facts


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0].replace("\\", "")


def test_the_way_back_names_a_run_that_counts_and_what_it_gives() -> None:
    text = section(document(confirmed()), "Reproduce the best")
    assert "`00001013`" in text, "nearest to the mean of those that count"
    assert "of Wildloop's own, with its seed 1013, gave `val_accuracy` 0.963" in text
    assert "of the 3 that count" in text and "0.961 ± 0.01 (n=3)" in text
    assert "train.py --lr=0.3 --seed=1013\n" in text
    assert "belongs to no session" in text


def test_sealed_values_stand_beside_those_of_validation_with_intervals() -> None:
    seen = estimate_of({"1": 0.95, "2": 0.97, "3": 0.963})
    best = confirmed().account.best
    assert best is not None
    values = [
        SealedValue(
            configuration=best.id, label="lr=0.3", role=role, validation=seen, value=value,
            half_width=0.01, runs=3,
        )
        for role, value in (("baseline", 0.9), ("best", 0.94))
    ]  # fmt: skip
    text = section(document(confirmed(SealedReport(values=values, asked=2))), "Result")
    assert "neither agent nor runs could read" in text
    row = next(line for line in text.splitlines() if line.startswith("| best | lr=0.3 | 0.94 "))
    assert (
        row == "| best | lr=0.3 | 0.94 | 0.93 to 0.95 | 3 | 0.961 | 0.9358 to 0.9862 | 3 | -0.021 |"
    )
    assert "Gain of the best on the baseline there: +0.04" in text
    assert "is not what is the best by now" not in text
    values[1].configuration = "another"
    text = section(document(confirmed(SealedReport(values=values, asked=2))), "Result")
    assert "is not what is the best by now" in text
    open_to_all = SealedReport(values=values, fault="runs are not kept from it: no bubblewrap")
    text = section(document(confirmed(open_to_all)), "Result")
    assert "Hold-out, not sealed**, as runs are not kept from it: no bubblewrap" in text
    nothing = SealedReport(fault="nothing is sealed of this project")
    assert "Nothing is sealed: nothing is" in section(document(confirmed(nothing)), "Result")
