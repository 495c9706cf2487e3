"""From hints to a reflection to the end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.struggle.escalation import Rung, escalation
from wildloop.flows.struggle.struggle import History, Sign, findings

STUCK = Sign.IDLE.value
FLAT = Sign.PLATEAU.value


def history(text: str) -> list[IterationRecord]:
    """One letter a record: s stuck, p plateau with runs, . well, a plateau without runs,
    R reflection for struggle, P for a plateau, g at a gate, w a call that waits (stuck or not).
    """
    records, index = [IterationRecord(index=0, kind="planning", started_at=0)], 0
    for letter in text:
        if letter in "RPg":
            why = {"R": "struggle: x", "P": "plateau: x", "g": "reflection gate"}[letter]
            records.append(
                IterationRecord(index=index, kind="reflection", why=why, started_at=index)
            )
            continue
        index += 1
        turns = [IterationRecord(index=index, started_at=index)]
        if letter == "w":
            turns[0].promise, turns[0].signs = "WAITING", [STUCK]
            turns.append(IterationRecord(index=index, turn=2, started_at=index))
        turns[-1].signs = {"s": [STUCK], "p": [FLAT]}.get(letter, [])
        turns[-1].run_ids = [] if letter in "sa" else ["r"]
        records += turns
    return records


@pytest.mark.parametrize(
    ("text", "rung"),
    [
        ("", Rung.NONE),
        ("...", Rung.NONE),
        ("s", Rung.HINT),
        ("..ss", Rung.HINT),
        ("sss", Rung.REFLECT),
        ("ss.s", Rung.HINT),
        ("ss.sss", Rung.REFLECT),
        ("sssR", Rung.HINT),
        ("sssRs", Rung.HINT),
        ("sssRss", Rung.HINT),
        ("sssRsss", Rung.STOP),
        ("sssRssgs", Rung.STOP),
        ("sssRss.s", Rung.HINT),
        ("sssRs.sss", Rung.REFLECT),
        ("ssgss", Rung.HINT),
        ("ssgsss", Rung.REFLECT),
        ("ssw", Rung.NONE),
        ("sswss", Rung.HINT),
        ("pppp", Rung.HINT),
        ("ppppp", Rung.REFLECT),
        ("ppapapp", Rung.REFLECT),
        ("pp.ppp", Rung.HINT),
        ("pppppP", Rung.NONE),
        ("pppppPpppp", Rung.HINT),
        ("pppppPppppp", Rung.REFLECT),
        ("pppppPpppppPpppppPpppp", Rung.HINT),
        ("aaaaaaaa", Rung.NONE),
        ("sspss", Rung.HINT),
    ],
)
def test_rungs(text: str, rung: Rung) -> None:
    assert escalation(history(text)).rung is rung


def test_reasons_name_signs_and_numbers() -> None:
    assert escalation(history("sss")).reason == "struggle: 3 iterations in a row with no outcome"
    assert escalation(history("sssRsss")).reason == (
        "the agent is stuck: 6 iterations in a row with no outcome, the last 3 of them after a "
        "reflection that chose to go on"
    )
    assert escalation(history("ppppp")).reason.startswith("plateau: 5 iterations with runs")


@given(st.text("sp.ag", max_size=40))
def test_a_session_is_never_ended_without_a_reflection_first(text: str) -> None:
    said = ""
    for letter in text:
        said += letter
        rung = escalation(history(said)).rung
        if rung is Rung.STOP:
            assert "R" in said
            return
        if rung is Rung.REFLECT:
            said += "R" if said.endswith("s") else "P"
    assert all(not (one == other == "R") for one, other in pairwise(said))


def work(index: int, **fields: object) -> IterationRecord:
    values = {"started_at": 0.0, "finished_at": 100.0, "exit_reason": "finished"} | fields
    return IterationRecord.model_validate({"index": index} | values)


def counted(*records: IterationRecord, history: tuple[float, ...] = ()) -> list[Sign]:
    return [one.sign for one in findings(records, History(history)) if one.counts]


def test_idle_iterations_count() -> None:
    assert counted(*(work(n) for n in (1, 2, 3))) == [Sign.IDLE]


@pytest.mark.parametrize(
    "outcome",
    [
        {"files_changed": 1},
        {"run_ids": ["r"]},
        {"tasks_closed": 1},
        {"active_runs": 2},
    ],
)
def test_an_iteration_with_an_outcome_is_not_idle(outcome: dict[str, object]) -> None:
    assert counted(work(1), work(2), work(3, **outcome)) == []


def test_an_iteration_that_has_waited_is_not_idle() -> None:
    waited = [work(3, promise="WAITING"), work(3, turn=2)]
    assert counted(work(1), work(2), *waited) == []


def test_short_iterations_alone_do_not_count() -> None:
    assert counted(*(work(n, finished_at=1.0, run_ids=[f"r{n}"]) for n in (1, 2, 3))) == []


def test_an_error_counts_only_where_it_comes_again() -> None:
    error = {"error": "boom", "run_ids": ["r"]}
    assert counted(work(1, **error), work(2, **error)) == [Sign.REPEATED_ERROR]
    assert counted(work(1, **error), work(2, **error), work(3, run_ids=["s"])) == []


def test_saying_the_same_thrice_counts_unless_a_task_was_closed() -> None:
    same = {"summary": "Tuned lr, took 12.5 s", "files_changed": 1}
    assert counted(work(1, **same), work(2, **same), work(3, **same)) == [Sign.REPEATED_WORK]
    closed = work(2, **same, tasks_closed=1)
    assert counted(work(1, **same), closed, work(3, **same)) == []


def test_a_plateau_counts_in_iterations_with_runs() -> None:
    flat = (0.5, 0.4, 0.4, 0.4, 0.4, 0.4)
    assert counted(work(1, run_ids=["r"]), history=flat) == [Sign.PLATEAU]
    assert counted(work(1, files_changed=1), history=flat) == []
