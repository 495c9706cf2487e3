"""tasks.md as agents and people write it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.models.session import TaskProgress
from wildloop.flows.protocol.plan import (
    ABORT_SENTINEL,
    TaskStatus,
    abort_checklist,
    closed_gates,
    has_abort_sentinel,
    is_abort,
    open_tasks,
    parse_plan,
    progress,
    progress_table,
)
from wildloop.flows.protocol.plan_rules import plan_faults


def line(id: str, text: str = "Do it", box: str = " ") -> str:
    return f"- [{box}] [{id}] {text} | deliverable: {id}.md | done-when: it is there"


def plan_text(phases: int = 4, tasks: int = 3) -> str:
    """A plan that keeps all rules."""
    parts = ["# Tasks", "## Goal", "Reach 0.97", "## Planning Notes", "Notes"]
    for phase in range(1, phases + 1):
        parts.append(f"## Phase {phase} - Title {phase}")
        for task in range(1, tasks + 1):
            text = "Do it"
            if (phase, task) in ((2, tasks), (phases, tasks)):
                text = "Reflection gate"
            elif (phase, task) == (3, 1):
                text = "Ablation of the best"
            parts.append(line(f"P{phase}-T{task}", text))
    parts += ["## Shared Metrics and Analytics Contract", "Primary metric: acc (max)"]
    return "\n".join(parts) + "\n"


def faults_of(markdown: str) -> list[str]:
    return plan_faults(parse_plan(markdown), markdown)


def test_a_good_plan_is_read() -> None:
    plan = parse_plan(plan_text())
    assert [(phase.number, phase.title) for phase in plan.phases] == [
        (number, f"Title {number}") for number in range(1, 5)
    ]
    task = plan.tasks[0]
    assert (task.id, task.status, task.text) == ("P1-T1", TaskStatus.OPEN, "Do it")
    assert (task.deliverable, task.done_when) == ("P1-T1.md", "it is there")
    assert len(plan.tasks) == 12
    assert plan.sections["goal"] == "Reach 0.97"
    assert faults_of(plan_text()) == []


@pytest.mark.parametrize(
    ("text", "id", "status", "rest"),
    [
        ("- [ ] [P1-T1] a", "P1-T1", "open", "a"),
        ("* [x] [P1-T1] a", "P1-T1", "done", "a"),
        ("+ [X] [P1-T1] a", "P1-T1", "done", "a"),
        ("- [/] P1-T1 a", "P1-T1", "in_progress", "a"),
        ("- [-] [P1-T1]: a", "P1-T1", "cancelled", "a"),
        ("   -  [ x ]   [ p1 - t1 ]   a", "P1-T1", "done", "a"),
        ("\t- [] [P1-T1] a", "P1-T1", "open", "a"),
        ("-[ ][P1-T1]a", "P1-T1", "open", "a"),
        ("1. [ ] **[P1-T1]** a", "P1-T1", "open", "a"),
        ("- [ ] **P1-T1**: a", "P1-T1", "open", "a"),
        ("- [ ] `[P1-T1]` a", "P1-T1", "open", "a"),
        ("- [ ] no id", None, "open", "no id"),
        ("- [x] [T1] a", None, "done", "[T1] a"),
        ("- [~] [P1-T1] odd box", "P1-T1", "open", "odd box"),
        ("- [ ] [P1-T1] run a | b | c", "P1-T1", "open", "run a | b | c"),
    ],
)
def test_hand_edited_task_lines(text: str, id: str | None, status: str, rest: str) -> None:
    (task,) = parse_plan(text + "\r\n").tasks
    assert (task.id, task.status.value, task.text) == (id, status, rest)


@pytest.mark.parametrize(
    "text",
    ["- [link](http://a)", "- [a] footnote", "- plain", "text [x] P1-T1", "[ ] [P1-T1] a", ""],
)
def test_other_lines_are_no_tasks(text: str) -> None:
    assert parse_plan(text).tasks == []


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("- [-] (no GPU) [P4-T2] Sweep | deliverable: a", ("P4-T2", "Sweep (no GPU)", "a")),
        ("- [-] [P4-T2] (no GPU) Sweep", ("P4-T2", "(no GPU) Sweep", None)),
        ("- [-] (no GPU) P4-T2 Sweep", ("P4-T2", "Sweep (no GPU)", None)),
        ("- (no GPU) [-] [P4-T2] Sweep", ("P4-T2", "Sweep (no GPU)", None)),
        ("- [- no GPU] [P4-T2] Sweep", ("P4-T2", "Sweep (no GPU)", None)),
        ("- [-: no GPU] [P4-T2] Sweep", ("P4-T2", "Sweep (no GPU)", None)),
        ("- [-] no GPU: [P4-T2] Sweep | deliverable: a", ("P4-T2", "Sweep (no GPU)", "a")),
        ("- [-] no GPU - [P4-T2] Sweep", ("P4-T2", "Sweep (no GPU)", None)),
        ("- [-] Reason: no GPU. [P4-T2] Sweep", ("P4-T2", "Sweep (Reason: no GPU.)", None)),
        ("- [-] cancelled [P4-T2] Sweep", ("P4-T2", "Sweep (cancelled)", None)),
        ("- [-] ~~[P4-T2] Sweep~~ no GPU", ("P4-T2", "Sweep no GPU", None)),
        ("- ~~[ ] [P4-T2] Sweep~~ no GPU", ("P4-T2", "Sweep no GPU", None)),
        ("- [-] after [P2-T1]: [P4-T2] Sweep", ("P4-T2", "Sweep (after [P2-T1])", None)),
        ("- [-] [P4-T2] Sweep | deliverable: a | no GPU", ("P4-T2", "Sweep | no GPU", "a")),
        ("- [-] [P4-T2] Sweep\n  Reason: no GPU", ("P4-T2", "Sweep", None)),
        ("- [-] replaced by [P2-T1]", (None, "replaced by [P2-T1]", None)),
    ],
)
def test_reason_of_a_cancelled_task_may_stand_anywhere(
    text: str, task: tuple[str | None, str, str | None]
) -> None:
    (found,) = parse_plan(text).tasks
    assert (found.id, found.text, found.deliverable) == task
    assert found.status is TaskStatus.CANCELLED


def test_id_of_another_task_is_no_task_s_own() -> None:
    plan = parse_plan("- [ ] See [P1-T1] first\n- [x] (early) [P1-T2] Sweep\n- [/] a: [P1-T3]")
    assert [(task.id, task.text) for task in plan.tasks] == [
        (None, "See [P1-T1] first"),
        ("P1-T2", "Sweep (early)"),
        (None, "a: [P1-T3]"),
    ]


def test_fields_may_be_spelled_and_wrapped_differently() -> None:
    plan = parse_plan(
        "- [ ] [P1-T1] a | Deliverable: x.md | **Done when**: y\n"
        "- [ ] [P1-T2] b\n"
        "  - deliverable: z.md\n"
        "  - done_when: w: v\n"
        "- [ ] [P1-T3] c | deliverable: | done-when: t\n"
    )
    fields = [(task.deliverable, task.done_when) for task in plan.tasks]
    assert fields == [("x.md", "y"), ("z.md", "w: v"), (None, "t")]


@pytest.mark.parametrize(
    ("heading", "number", "title"),
    [
        ("## Phase 2 - Broad search", 2, "Broad search"),
        ("### **Phase 2: Broad search**", 2, "Broad search"),
        ("# PHASE 2 \N{EM DASH} Broad search ##", 2, "Broad search"),
        ("## 2. Phase 2 Broad search", 2, "Broad search"),
        ("## \N{ROCKET} Phase 2", 2, ""),
    ],
)
def test_headings_of_phases(heading: str, number: int, title: str) -> None:
    (phase,) = parse_plan(f"{heading}\n{line('P2-T1')}").phases
    assert (phase.number, phase.title, len(phase.tasks)) == (number, title, 1)


def test_subheadings_belong_to_their_phase_and_section() -> None:
    plan = parse_plan(
        "## Phase 1 - A\n### Notes\n"
        + line("P1-T1")
        + "\n## Shared Metrics and Analytics Contract\n### Primary\nacc\n## Later\n"
        + line("P9-T1")
    )
    assert [task.id for task in plan.phases[0].tasks] == ["P1-T1"]
    assert [task.id for task in plan.loose] == ["P9-T1"]
    assert plan.sections["shared metrics and analytics contract"] == "acc"


def test_code_blocks_hold_neither_tasks_nor_headings() -> None:
    plan = parse_plan(
        "## Phase 1 - A\n```bash\n# Phase 2 - comment\n- [ ] [P9-T9] quoted\n```\n" + line("P1-T1")
    )
    assert [phase.number for phase in plan.phases] == [1]
    assert [task.id for task in plan.tasks] == ["P1-T1"]


def test_an_unclosed_code_block_hides_nothing() -> None:
    assert len(parse_plan("## Phase 1 - A\n```\ncode\n" + line("P1-T1")).phases[0].tasks) == 1


def test_a_plan_in_a_code_block_as_a_whole_is_read() -> None:
    wrapped = f"```markdown\n{plan_text()}```\n"
    assert faults_of(wrapped) == []
    assert parse_plan(wrapped).tasks[0].id == "P1-T1"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("## Phase 4 - Title 4", "Nothing", "3 phases"),
        ("[P1-T2]", "[P1-T1]", "stand twice: P1-T1"),
        ("[P1-T2]", "[P2-T9]", "another phase than the one they stand in: P2-T9"),
        ("## Phase 3", "## Phase 2", "Phase numbers that stand twice: 2"),
        ("[P1-T2]", "[1.2]", "without an id of the form [P2-T3]: '[1.2] Do it'"),
        (" | deliverable: P1-T1.md", "", "without '| deliverable: ...': P1-T1"),
        ("| done-when: it is there", "", "without '| done-when: ...': P1-T1"),
        ("[P2-T3] Reflection gate", "[P2-T3] Think", "before the last phase"),
        ("[P4-T3] Reflection gate", "[P4-T3] Think", "of the last phase"),
        ("Ablation", "Variation", "ablation"),
        ("Primary metric: acc (max)", "", "Contract' is missing or empty"),
        ("## Shared Metrics and Analytics Contract", "## Other", "Contract' is missing or empty"),
        ("Reach 0.97", "", "'Goal' is missing or empty"),
        ("- [ ] [P3-T2]", "- [?] [P3-T2]", "read as open: P3-T2"),
        ("## Goal", line("P0-T1") + "\n## Goal", "outside any phase: P0-T1"),
    ],
)
def test_each_broken_rule_is_told(old: str, new: str, fault: str) -> None:
    markdown = plan_text().replace(old, new, 1)
    assert markdown != plan_text()
    assert [one for one in faults_of(markdown) if fault in one]


@pytest.mark.parametrize(
    ("phases", "tasks", "fault"),
    [
        (3, 4, "3 phases"),
        (7, 3, "7 phases"),
        (4, 2, "8 tasks; it takes 10 to 25"),
        (6, 5, "30 tasks; it takes 10 to 25"),
        (4, 7, "Phase 1 has 7 tasks; a phase takes 2 to 6"),
        (5, 1, "Phase 1 has 1 tasks"),
    ],
)
def test_plan_sizes_out_of_bounds_are_told(phases: int, tasks: int, fault: str) -> None:
    assert any(fault in one for one in faults_of(plan_text(phases, tasks)))


@pytest.mark.parametrize(("phases", "tasks"), [(4, 3), (6, 4), (5, 2), (5, 5), (4, 6)])
def test_plan_sizes_within_bounds_are_no_fault(phases: int, tasks: int) -> None:
    assert faults_of(plan_text(phases, tasks)) == []


@pytest.mark.parametrize("markdown", ["", " \n"])
def test_an_empty_plan_is_told(markdown: str) -> None:
    assert faults_of(markdown) == ["tasks.md is empty."]


def test_progress_and_open_tasks() -> None:
    plan = parse_plan(
        "\n".join(line(f"P1-T{n}", box=box) for n, box in enumerate([" ", "/", "x", "X", "-"], 1))
    )
    assert progress(plan) == TaskProgress(total=5, open=1, in_progress=1, done=2, cancelled=1)
    assert progress_table(progress(plan)) == ""
    assert [task.id for task in open_tasks(plan)] == ["P1-T1", "P1-T2"]


def test_progress_by_phase() -> None:
    text = plan_text().replace("- [ ] [P2-T1]", "- [x] [P2-T1]").replace("Title 2", "A | B")
    found = progress(parse_plan(text))
    assert [(one.number, one.closed, one.total) for one in found.phases] == [
        (1, 0, 3),
        (2, 1, 3),
        (3, 0, 3),
        (4, 0, 3),
    ]
    assert "| 2 | A / B | 1/3 | 0 | ###....... |" in progress_table(found)


def test_closed_gates_are_done_or_cancelled_reflection_gates() -> None:
    plan = parse_plan(
        "\n".join(
            [
                line("P1-T1", "REFLECTION  GATE (midpoint)", "x"),
                line("P1-T2", "Reflection gate", " "),
                line("P1-T3", "Reflection gate", "-"),
                line("P1-T4", "No gate", "x"),
            ]
        )
    )
    assert closed_gates(plan) == ["P1-T1", "P1-T3"]


@pytest.mark.parametrize(
    ("summary", "promise", "plan", "aborts"),
    [
        ("Aborted: the skill does not answer.", "DONE", "", True),
        ("ABORT_EARLY_DOCS_CHECK_FAILED: no answer", None, "", True),
        ("Preflight failed, so I stop.", "DONE", "# Notes", True),
        ("said so", None, "# Aborted\n`ABORT_EARLY_DOCS_CHECK_FAILED`", True),
        ("all done", "DONE", "", False),
        ("Aborted: no answer.", None, "", False),
        ("Preflight passed; the plan is written.", "DONE", line("P1-T1"), False),
    ],
)
def test_abort_is_known(summary: str, promise: str | None, plan: str, aborts: bool) -> None:
    assert is_abort(summary, promise, plan) is aborts


def test_the_abort_checklist_holds_the_sentinel_and_every_check() -> None:
    text = abort_checklist("Reach 0.97", ["API: no\nanswer", "agent: missing"])
    assert has_abort_sentinel(text)
    assert ABORT_SENTINEL == "ABORT_EARLY_DOCS_CHECK_FAILED"
    assert "- [ ] API: no answer\n- [ ] agent: missing\n" in text
    assert "Reach 0.97" in text
    assert not has_abort_sentinel(plan_text())


@pytest.mark.parametrize(
    "markdown",
    [
        ("- " + " " * 9_900 + "x\n") * 200,
        ("# a" + " " * 9_900 + "x\n") * 200,
        "# a\n" + "x\n" * 200_000,
        "- [ ] [P1-T1] " + "a|" * 4_000 + "\n",
        "- [ ] [P1-T1] a\n" * 20_000,
        "- [ ] [P" + "9" * 5_000 + "-T1] a\n## Phase " + "9" * 5_000,
    ],
    ids=range(6),
)
def test_large_garbage_is_read(markdown: str) -> None:
    """Quadratic work on any of these would run into the suite's time-out."""
    assert len(faults_of(markdown)) < 20


FRAGMENTS = [
    "- [ ] ",
    "[P1-T1]",
    "## ",
    "Phase 1",
    "|",
    "deliverable:",
    "```\n",
    "\n",
    "\ud800",
    "\0",
]


@given(
    st.lists(st.sampled_from(FRAGMENTS), max_size=30).map("".join)
    | st.text(st.characters(exclude_categories=()))
)
def test_no_string_raises(markdown: str) -> None:
    plan = parse_plan(markdown)
    plan_faults(plan, markdown)
    plan.model_dump_json()
    assert progress(plan).total == len(plan.tasks)
