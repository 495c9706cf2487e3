"""Where one of several researchers stands, in the one record of the session."""

from pathlib import Path
from typing import Any
from uuid import uuid4

from wildloop.flows.models.keep import Evidence, KeepState, KeepStatus, Merge, Verdict
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import Desk, IterationRecord, SessionRecord
from wildloop.flows.session.desk import DeskPosition
from wildloop.flows.session.position import Position

ID = str(uuid4())
NOBODY: Any = None


def desks(tmp_path: Path) -> tuple[Position, list[DeskPosition]]:
    spec = SessionSpec(goal="g", workdir=str(tmp_path), keep="better", researchers=2)
    record = SessionRecord(session_id=ID)
    for number in (1, 2):
        folder = str(tmp_path / f"r{number}")
        record.desks.append(
            Desk(number=number, branch=f"b{number}", workdir=folder, onto="0", index=number)
        )
    lead = Position(client=NOBODY, spec=spec, record=record)
    return lead, [DeskPosition(lead, desk) for desk in record.desks]


def verdict(iteration: int) -> Verdict:
    return Verdict(iteration=iteration, label=f"i{iteration}", status=KeepStatus.KEEP, why="so")


def test_calls_and_decisions_are_the_sessions_and_each_knows_its_own(tmp_path: Path) -> None:
    lead, (one, other) = desks(tmp_path)
    one.add_call(IterationRecord(index=one.next_index(), started_at=1.0, run_ids=["a"]))
    assert one.told.iterations == one.record.iterations and lead.record.iterations == []
    one.hand_in()
    other.add_call(IterationRecord(index=other.next_index(), started_at=2.0))
    other.hand_in()
    other.record.keep.verdicts.append(verdict(2))
    assert [call.researcher for call in lead.record.iterations] == [1, 2]
    assert (one.record.last_index, other.record.last_index) == (1, 2)
    assert one.told.iterations == lead.record.iterations == one.whole.iterations
    assert lead.record.keep.verdicts == other.own_verdicts and one.own_verdicts == []
    again = DeskPosition(lead, lead.record.desks[1])
    assert again.record.iterations == other.record.iterations
    assert again.own_verdicts == other.own_verdicts


def test_what_is_stored_of_a_desk_holds_no_decisions(tmp_path: Path) -> None:
    lead, (one, _) = desks(tmp_path)
    one.record.keep.verdicts.append(verdict(1))
    stored = lead.record.summary(lead.record.totals)
    assert [desk.keep.verdicts for desk in stored.desks] == [[], []]
    assert len(lead.record.keep.verdicts) == 1


def test_a_change_is_compared_with_what_its_code_began_with(tmp_path: Path) -> None:
    lead, (one, other) = desks(tmp_path)
    first, better = (Evidence(id=id, configuration=id) for id in ("first", "better"))
    lead.record.keep.best = first
    # Nothing was measured when it began: the first measurement of another is taken.
    one.refresh()
    assert one.record.keep.best == first
    other.begin_at("1")
    lead.record.keep.best = better
    other.refresh()
    assert other.record.keep.best == first
    other.begin_at("2")
    assert (other.record.keep.best, other.desk.onto) == (better, "2")
    lead.record.keep.begin_anew()
    other.refresh()
    assert other.record.keep.best is None
    assert isinstance(other.record.keep, KeepState)


def test_runs_plan_and_prompt_are_its_own(tmp_path: Path) -> None:
    lead, (one, other) = desks(tmp_path)
    run = Run(
        id="r",
        name="r",
        command="c",
        workdir="w",
        status=RunStatus.RUNNING,
        created_at=0.0,
        run_dir="d",
        researcher=2,
    )
    assert (lead.owns(run), one.owns(run), other.owns(run)) == (True, False, True)
    assert other.called == f"{ID}:r2" and lead.called == ID
    assert other.paths.root == lead.paths.root and other.main == lead.workdir
    lead.paths.root.mkdir(parents=True)
    (tmp_path / ".wild" / "researchers").mkdir()
    lead.paths.tasks.write_text("- [ ] [P1-T1] a")
    other.take_plan()
    assert other.plan_text() == lead.plan_text()
    assert other.paths.tasks.is_relative_to(tmp_path / "r2")
    one.desk.task = "P1-T1"
    assert "researcher 1: waits for its runs (P1-T1)" in other.beside
    one.desk.merging.append(Merge(verdict=verdict(1), begun="0"))
    assert (one.merging, other.merging) == ({1}, set())
    assert "researcher 1: waits for its runs (P1-T1); to be merged: i1" in other.beside
    assert "Your change of i1 is to be kept, and waits" in one.beside


def test_a_call_is_never_stored_as_ended_and_under_way(tmp_path: Path) -> None:
    lead, (one, other) = desks(tmp_path)
    one.record.in_progress = "iteration-01"
    one.hand_in()
    one.add_call(IterationRecord(index=1, started_at=1.0))
    # Somebody else saves.
    other.hand_in()
    assert (lead.record.desks[0].in_progress, lead.record.iterations) == ("iteration-01", [])
    one.record.in_progress = None
    one.hand_in()
    assert lead.record.desks[0].in_progress is None and len(lead.record.iterations) == 1
