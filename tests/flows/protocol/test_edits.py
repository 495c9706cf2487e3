"""What an agent's call has done to tasks.md."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.script import good_plan
from wildloop.flows.protocol.edits import review_edit
from wildloop.flows.protocol.plan import TaskStatus, parse_plan

PLAN = good_plan()


def line(id: str, text: str = "Work", box: str = " ") -> str:
    return f"- [{box}] [{id}] {text} | deliverable: a.md | done-when: it is there"


def without(id: str) -> str:
    return "\n".join(one for one in PLAN.split("\n") if f"[{id}]" not in one)


@pytest.mark.parametrize(
    "after",
    [
        PLAN,
        PLAN.replace("\n", "\r\n"),
        PLAN.replace("- [ ] [P1-T1]", "* [X] [P1-T1]"),
        PLAN.replace("- [ ] [P1-T1]", "\t- [/] P1-T1:"),
        PLAN.replace("## Phase 2 - Part 2", "### **Phase 2**: another title"),
        PLAN.replace("[P1-T1] Work", "[P1-T1] Work in other words"),
        PLAN + "\n## Phase 5 - More\n" + line("P5-T1", "New"),
        f"```markdown\n{PLAN}\n```",
    ],
    ids=range(8),
)
def test_edits_by_hand_are_kept_as_they_are(after: str) -> None:
    edit = review_edit(PLAN, after)
    assert (edit.text, edit.faults) == (after, [])


@pytest.mark.parametrize(
    "cancelled",
    [
        "- [-] (no time) [P3-T2] Work | deliverable: a.md | done-when: it is there",
        "- [-] no time: [P3-T2] Work",
        "- ~~[ ] [P3-T2] Work~~ no time",
        "- [- no time] [P3-T2] Work",
    ],
)
def test_cancelling_with_a_reason_is_no_deletion(cancelled: str) -> None:
    after = PLAN.replace(line("P3-T2"), cancelled)
    edit = review_edit(PLAN, after)
    assert (edit.text, edit.closed) == (after, 1)
    assert not any("taken out" in fault for fault in edit.faults)


def test_lost_sections_are_put_back_in_their_places() -> None:
    after = PLAN[PLAN.index("## Phase 1") : PLAN.index("## Shared Metrics")]
    edit = review_edit(PLAN, after)
    (fault,) = edit.faults
    assert "put back: Goal, Planning Notes, Shared Metrics and Analytics Contract." in fault
    assert edit.text.split() == PLAN.split()
    assert parse_plan(edit.text).sections == parse_plan(PLAN).sections


def test_changed_sections_stay_as_they_were_changed() -> None:
    after = PLAN.replace("Raise the score.", "Raise it further.").replace("None.", "- seeds: 5")
    assert review_edit(PLAN, after).text == after


def test_an_emptied_section_gets_its_text_back_under_its_heading() -> None:
    after = PLAN.replace("## Goal\n\nRaise the score.\n", "## Goal\n").replace("(max)", "(min)")
    edit = review_edit(PLAN, after)
    assert "put back: Goal." in edit.faults[0]
    plan = parse_plan(edit.text)
    assert plan.sections["goal"] == "Raise the score."
    assert plan.sections["shared metrics and analytics contract"] == "score (min)"
    assert edit.text.count("## Goal") == 1


def test_section_that_never_was_is_not_asked_for() -> None:
    before = PLAN.replace("## Planning Notes\n\nNone.\n", "")
    assert review_edit(before, before).faults == []


def test_closed_tasks_are_counted() -> None:
    after = PLAN.replace("- [ ] [P1-T1]", "- [x] [P1-T1]").replace("[ ] [P1-T2]", "[-] [P1-T2]")
    assert review_edit(PLAN, after).closed == 2
    assert review_edit(after, PLAN).closed == 0


def test_open_task_that_was_taken_out_is_put_back_into_its_phase() -> None:
    edit = review_edit(PLAN, without("P3-T2"))
    (fault,) = edit.faults
    assert fault.startswith("Open tasks were taken out of tasks.md and have been put back: P3-T2.")
    phase = parse_plan(edit.text).phases[2]
    assert [task.id for task in phase.tasks] == ["P3-T1", "P3-T3", "P3-T2"]
    assert review_edit(edit.text, edit.text).faults == []


def test_a_task_comes_back_with_the_lines_below_it() -> None:
    before = PLAN.replace(line("P1-T2"), line("P1-T2") + "\n  - note: mine\n\t- [ ] nested work")
    after = without("P1-T2")
    text = review_edit(before, after).text
    assert f"{line('P1-T2')}\n  - note: mine\n\t- [ ] nested work" in text


def test_a_lost_phase_comes_back_with_its_heading() -> None:
    start, end = PLAN.index("## Phase 2"), PLAN.index("## Phase 3")
    edit = review_edit(PLAN, PLAN[:start] + PLAN[end:])
    assert {"P2-T1, P2-T2, P2-T3" in fault for fault in edit.faults} == {True}
    plan = parse_plan(edit.text)
    assert sorted(phase.number for phase in plan.phases) == [1, 2, 3, 4]
    assert len(plan.tasks) == 12


def test_a_closed_task_may_go() -> None:
    before = PLAN.replace("- [ ] [P1-T1]", "- [x] [P1-T1]")
    assert review_edit(before, without("P1-T1")).faults == []


def test_a_task_that_moved_under_another_id_is_not_gone() -> None:
    before = PLAN.replace("[P2-T1] Work", "[P2-T1] Sweep the rates")
    after = before.replace(line("P2-T1", "Sweep the rates") + "\n", "").replace(
        line("P3-T3"), line("P3-T3") + "\n" + line("P3-T4", "sweep  the rates.")
    )
    assert review_edit(before, after).faults == []


def test_tasks_without_an_id_are_known_by_their_text() -> None:
    before = PLAN + "\n- [ ] loose work"
    (fault,) = review_edit(before, PLAN).faults
    assert "'loose work'" in fault
    done = PLAN + "\n- [x] Loose work"
    assert [one for one in review_edit(before, done).faults if "put back" in one] == []


@pytest.mark.parametrize("after", ["", "  \n", "# My notes\n\nNothing left to do.\n", "## Goal\n"])
def test_a_plan_without_tasks_is_put_back_and_its_text_kept(after: str) -> None:
    edit = review_edit(PLAN, after)
    assert "was put back" in edit.faults[0]
    assert len(parse_plan(edit.text).tasks) == 12
    assert all(row.strip() in edit.text for row in after.split("\n"))


def test_the_abort_checklist_is_left_alone() -> None:
    after = "# Aborted\n`ABORT_EARLY_DOCS_CHECK_FAILED`\n"
    assert review_edit(PLAN, after).text == after


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[P1-T2]", "[P1-T1]", "stand twice: P1-T1"),
        ("[ ] [P1-T2] Work", "[?] [P1-T2] Work", "read as open: P1-T2"),
        ("[ ] [P2-T3]", "[-] [P2-T3]", "Reflection gates are not cancelled: P2-T3"),
        (line("P1-T2"), line("P1-T2") + "\n- [ ] a new one", "without an id"),
    ],
)
def test_a_new_fault_is_told_once(old: str, new: str, fault: str) -> None:
    after = PLAN.replace(old, new, 1)
    assert [one for one in review_edit(PLAN, after).faults if fault in one]
    assert review_edit(after, after).faults == []


def test_gates_that_all_lost_their_name_are_told() -> None:
    after = PLAN.replace("Reflection gate", "Think")
    assert review_edit(PLAN, after).faults == [
        "No task of tasks.md is a 'Reflection gate' any more."
    ]


FRAGMENTS = [
    "- [ ] ",
    "[P1-T1]",
    " a",
    "## Phase 1",
    "\n",
    "\r\n",
    "\t",
    "```\n",
    "- [x] [P2-T2] b",
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=25).map("".join)


@given(TEXTS, TEXTS)
def test_no_open_task_is_ever_lost(before: str, after: str) -> None:
    """Each is there by its id, or by its text."""
    edit = review_edit(before, after)
    left = parse_plan(edit.text).tasks
    ids, texts = {task.id for task in left}, {" ".join(task.text.lower().split()) for task in left}
    for task in parse_plan(before.replace("\r\n", "\n")).tasks:
        if task.status is TaskStatus.OPEN and "```" not in before + after:
            shown = " ".join(task.text.lower().split())
            assert (task.id in ids if task.id else False) or shown in texts
