"""What a session's record and account say is to be taken home."""

from typing import Any

from tests.support.records import made_account, made_record, made_run
from wildloop.flows.keep.measured import evidence_of
from wildloop.flows.models.keep import KeepState, KeepStatus, Verdict
from wildloop.flows.models.session import Session, SessionStatus
from wildloop.flows.models.session_record import IterationRecord, Phase, SessionRecord, UserCheckout
from wildloop.flows.take.night import night_of
from wildloop.flows.text.title import title_of

SCORES = {"a": (0.80, 0.81, 0.79), "b": (0.90, 0.91, 0.89)}


def session(**fields: Any) -> Session:
    values = {
        "session_id": "s1",
        "goal": "g",
        "workdir": "w",
        "agent": "a",
        "status": SessionStatus.COMPLETED,
        "phase": Phase.ENDED,
        "is_active": False,
        "iteration": 3,
        "max_iterations": 3,
        "session_dir": "d",
        "keep": "better",
    } | fields
    return Session.model_validate(values)


def runs() -> list[Any]:
    return [
        made_run(10 * at + seed, score, seed=seed, parameters={"arm": arm}, code=arm)
        for at, (arm, scores) in enumerate(SCORES.items())
        for seed, score in enumerate(scores, 1)
    ]


def record(**fields: Any) -> SessionRecord:
    every = runs()
    values = {
        "session_id": "s1",
        "branch": "wild/s1",
        "base_commit": "c0",
        "before": UserCheckout(branch="trunk", commit="c0", files="dirty", index="i"),
        "iterations": [
            made_record(
                1, summary="P1-T1: measured", commit="c1", run_ids=[r.id for r in every[:3]]
            ),
            made_record(2, summary="P1-T2: wider", commit="c2", run_ids=[r.id for r in every[3:]]),
            IterationRecord(index=2, kind="reflection", started_at=2.5, commit="c3"),
            made_record(3, summary="P1-T3: notes\nand more", commit="c4"),
        ],
    } | fields
    return SessionRecord.model_validate(values)


def verdict(iteration: int, status: KeepStatus, **fields: Any) -> Verdict:
    values = {
        "iteration": iteration,
        "label": f"iteration-{iteration:02d}",
        "status": status,
        "why": f"why {iteration}",
        "description": f"**P1-T{iteration}**: idea {iteration}",
        "metric": "score",
        "commit": f"c{iteration}",
        "base": f"b{iteration}",
    } | fields
    return Verdict.model_validate(values)


def test_each_verdict_is_told_with_the_account_s_numbers() -> None:
    account = made_account(runs()[:-1])
    a, b = (evidence_of(one, 1, "c", {}) for one in account.configurations)
    state = KeepState(
        verdicts=[
            verdict(1, KeepStatus.KEEP, candidate=a),
            verdict(2, KeepStatus.KEEP, candidate=b, against=a),
            verdict(3, KeepStatus.DISCARD, warnings=["the change could not be taken back and"]),
            verdict(4, KeepStatus.CRASH),
        ]
    )
    night = night_of(session(), record(keep=state), made_account(runs()))
    assert [one.title for one in night.ideas] == ["idea 1", "idea 2"]
    first, second = night.ideas
    assert (first.before, first.after, first.now) == (None, "0.8 ± 0.01 (n=3)", None)
    assert second.before == "0.8 ± 0.01 (n=3)" and second.after == "0.905 ± 0.0071 (n=2)"
    assert second.now == "0.9 ± 0.01 (n=3)"
    assert (second.why, second.base, second.commit) == ("why 2", "b2", "c2")
    assert second.run_ids == ["id-0011", "id-0012"]
    assert [one.status for one in night.others] == ["discard", "crash"]
    assert night.left_in == ["iteration-03"]
    assert (night.base_branch, night.found, night.is_own_branch) == ("trunk", "dirty", True)


def test_without_keep_every_iteration_is_one_that_nobody_judged() -> None:
    night = night_of(session(keep="all"), record(before=None), made_account(runs()))
    assert [(one.title, one.base, one.commit) for one in night.ideas] == [
        ("measured", "c0", "c1"),
        ("wider", "c1", "c2"),
        ("notes", "c3", "c4"),
    ]
    assert {one.status for one in night.ideas} == {"not judged"} and night.others == []
    assert night.ideas[1].before == "0.8 ± 0.01 (n=3)"
    assert night.ideas[1].after == "0.9 ± 0.01 (n=3)"
    assert "judged no change" in night.ideas[1].why and "better" in night.ideas[1].why
    assert (night.base_branch, night.found) == (None, None)


def test_the_best_is_the_run_nearest_to_its_mean() -> None:
    night = night_of(session(keep="all"), record(), made_account(runs()))
    assert night.best is not None
    assert (night.best.run_id, night.best.value) == ("id-0011", 0.90)
    assert night.best.estimate.low is not None


def test_titles_lose_the_number_of_the_task() -> None:
    assert title_of("P1-T2: twice as wide") == "twice as wide"
    assert title_of("[P12-T3, P1-T4] `lr` of 3e-4\nmore") == "`lr` of 3e-4"
    assert title_of("\n  **P1-T1** done ") == "done"
    assert title_of("- [/] [P1-T2] wider layers") == "wider layers"
    assert title_of("`- [ ] [P1-T2] turn knob 01") == "turn knob 01"
    assert title_of("P1-T1") == "P1-T1"
    assert title_of("plain-T words: P1") == "plain-T words: P1"
    assert title_of(" ") == "no summary"
