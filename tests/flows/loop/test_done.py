"""Whether an agent's DONE is to be believed."""

from pathlib import Path

import pytest

from wildloop.flows.loop.done import (
    NO_FINISHED_RUN,
    missing_deliverables,
    told_missing,
    was_asked,
)
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.protocol.plan import parse_plan


def missing(folder: Path, deliverable: str, box: str = "x") -> list[str]:
    plan = parse_plan(f"- [{box}] [P1-T1] a | deliverable: {deliverable} | done-when: it is there")
    return [path for _, path in missing_deliverables(plan, [folder, folder / "session"])]


@pytest.mark.parametrize(
    ("deliverable", "names"),
    [
        ("a.md", []),
        ("`a.md`", []),
        ("./a.md.", []),
        ("exp/b.csv, a.md and session.md", []),
        ("exp/", []),
        ("exp/*.csv", []),
        ("a.md (the numbers)", []),
        ("a table in the log", []),
        ("https://example.org/x", []),
        ("exp/<run>.csv", []),
        ("c.md", ["c.md"]),
        ("`exp/c.csv`, a.md", ["exp/c.csv"]),
        ("exp/*.png", ["exp/*.png"]),
        ("no/such/folder/", ["no/such/folder/"]),
        ("x" * 300 + ".md", ["x" * 300 + ".md"]),
    ],
)
def test_files_that_a_closed_task_names_must_exist(
    tmp_path: Path, deliverable: str, names: list[str]
) -> None:
    for name in ("a.md", "exp/b.csv", "session/session.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert missing(tmp_path, deliverable) == names


@pytest.mark.parametrize("box", ["-", " ", "/"])
def test_what_a_task_that_is_not_done_names_is_not_asked_for(tmp_path: Path, box: str) -> None:
    assert missing(tmp_path, "c.md", box) == []


def test_missing_files_are_named_with_their_tasks() -> None:
    told = told_missing([(f"P1-T{n}", f"{n}.md") for n in range(12)])
    assert told.startswith("DONE is not believed: deliverables of closed tasks do not exist: 0.md")
    assert "9.md (P1-T9) and 2 more" in told


def test_agent_is_asked_once_for_a_finished_run() -> None:
    call = IterationRecord(index=1, started_at=0.0)
    assert not was_asked([call])
    assert was_asked([call, call.model_copy(update={"faults": [NO_FINISHED_RUN]})])
