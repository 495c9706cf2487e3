"""Whether a plan fits its night."""

import pytest

from tests.support.script import good_plan
from wildloop.flows.protocol.edits import review_edit
from wildloop.flows.protocol.gates import next_gate, with_ticked
from wildloop.flows.protocol.plan import parse_plan
from wildloop.flows.protocol.plan_bounds import (
    PlanBounds,
    PlanCost,
    bounds_faults,
    plan_cost,
    plan_rules,
)
from wildloop.flows.protocol.plan_rules import plan_faults

PLAN = good_plan()


def with_cost(line: str) -> str:
    return PLAN.replace("## Planning Notes\n\nNone.", f"## Planning Notes\n\n{line}")


@pytest.mark.parametrize(
    ("iterations", "fewest", "most"), [(1, 4, 12), (6, 8, 12), (14, 10, 16), (100, 10, 25)]
)
def test_the_number_of_tasks_goes_by_iterations(iterations: int, fewest: int, most: int) -> None:
    tasks = PlanBounds(iterations).tasks
    assert (tasks.start, tasks.stop - 1) == (fewest, most)


def test_too_many_tasks_for_the_iterations_are_told() -> None:
    plan = good_plan()
    extra = "".join(
        f"- [ ] [P1-T{n}] Work | deliverable: a.md | done-when: done\n" for n in range(4, 7)
    )
    text = plan.replace("## Phase 2", f"{extra}\n## Phase 2")
    assert plan_faults(parse_plan(text), text, PlanBounds(25).shape) == []
    (fault,) = plan_faults(parse_plan(text), text, PlanBounds(11).shape)
    assert fault == "The plan has 15 tasks; it takes 10 to 13."


@pytest.mark.parametrize(
    ("line", "cost"),
    [
        ("Cost: 30 runs, 1.5 hours", PlanCost(30, 1.5)),
        ("**Cost**: about 30 runs and 90 minutes.", PlanCost(30, 1.5)),
        ("- cost: 7 runs", PlanCost(7)),
        ("No word of it.", PlanCost()),
    ],
)
def test_a_plan_says_what_it_costs(line: str, cost: PlanCost) -> None:
    assert plan_cost(parse_plan(with_cost(line))) == cost


def test_the_runs_of_its_tasks_count_too() -> None:
    text = with_cost("Cost: 5 runs").replace("it is there", "it is there | runs: 3", 4)
    plan = parse_plan(text)
    assert plan_cost(plan) == PlanCost(12)
    assert [task.runs for task in plan.tasks[:5]] == [3, 3, 3, 3, None]
    assert plan.tasks[0].done_when == "it is there"


def test_a_plan_that_cannot_fit_is_sent_back_with_the_numbers() -> None:
    plan = parse_plan(with_cost("Cost: 50 runs, 9 hours"))
    assert bounds_faults(plan, PlanBounds(25, runs=42, hours=8)) == [
        "The plan asks for 50 runs, and the session has 42: cut it to fit.",
        "The plan takes 9 hours, and the session has 8: cut it to fit.",
    ]
    assert bounds_faults(plan, PlanBounds(25)) == []
    assert bounds_faults(parse_plan(PLAN), PlanBounds(25, runs=1, hours=1)) == []


def test_the_bounds_are_told_to_who_plans() -> None:
    text = plan_rules(PlanBounds(14, runs=42, hours=8))
    assert "4 to 6 phases, 2 to 6 tasks in each, 10 to 16 in all" in text
    assert "14 iterations, and each task that is no gate takes one; at most 42 runs" in text
    short = plan_rules(PlanBounds(1, runs=1))
    assert "2 to 6 phases, 1 to 6 tasks in each, 4 to 12 in all" in short
    assert "1 iteration, " in short and "3 tasks fit" in short and short.endswith("at most 1 run.")


def test_a_plan_that_fits_a_short_session_is_taken() -> None:
    text = good_plan()
    phases = text.index("## Phase 1"), text.index("## Shared Metrics")
    lines = (
        "## Phase 1 - Ground\n\n- [ ] [P1-T1] Baseline | deliverable: a.md | done-when: there\n"
        "- [ ] [P1-T2] Reflection gate | deliverable: b.md | done-when: there\n\n"
        "## Phase 2 - End\n\n- [ ] [P2-T1] Ablation | deliverable: c.md | done-when: there\n"
        "- [ ] [P2-T2] Reflection gate | deliverable: d.md | done-when: there\n\n"
    )
    short = text[: phases[0]] + lines + text[phases[1] :]
    assert plan_faults(parse_plan(short), short, PlanBounds(2).shape) == []
    assert plan_faults(parse_plan(short), short, PlanBounds(14).shape)


def test_a_gate_comes_up_when_all_before_it_is_closed() -> None:
    assert next_gate(parse_plan(PLAN)) is None
    closed = PLAN
    for id in ("P1-T1", "P1-T2", "P1-T3", "P2-T1", "P2-T2"):
        closed = closed.replace(f"[ ] [{id}]", f"[x] [{id}]")
    gate = next_gate(parse_plan(closed))
    assert gate is not None and gate.id == "P2-T3"
    assert next_gate(parse_plan(closed.replace("[ ] [P3-T1]", "[/] [P3-T1]"))) is None


def test_a_gate_is_ticked_and_nothing_else_is_touched() -> None:
    ticked = with_ticked(PLAN, ["P2-T3"])
    assert ticked == PLAN.replace("- [ ] [P2-T3]", "- [x] [P2-T3]")
    assert with_ticked(PLAN, ["P2-T2"]) == PLAN
    quoted = PLAN + "\n```\n- [ ] [P2-T3] Reflection gate\n```\n"
    assert with_ticked(quoted, ["P2-T3"]).endswith("- [ ] [P2-T3] Reflection gate\n```\n")


@pytest.mark.parametrize(
    "line",
    [
        "- [-] (no GPU) [P2-T2] Work | deliverable: a.md | done-when: it is there",
        "- [-] [P2-T2] Work (no GPU) | deliverable: a.md | done-when: it is there",
        "- [-] [P2-T2] (no GPU) Work | deliverable: a.md | done-when: it is there",
        "- [- no GPU] [P2-T2] Work | deliverable: a.md | done-when: it is there",
        "- [-] [P2-T2] Work | deliverable: a.md | done-when: it is there | reason: no GPU",
        "- [-] [P2-T2] Work | deliverable: a.md | done-when: it is there\n  - no GPU",
        "- [-] no GPU: [P2-T2] Work | deliverable: a.md | done-when: it is there",
        "- [-] ~~[P2-T2] Work~~ no GPU | deliverable: a.md | done-when: it is there",
    ],
)
def test_the_reason_of_a_cancelled_task_may_stand_anywhere(line: str) -> None:
    before = "- [ ] [P2-T2] Work | deliverable: a.md | done-when: it is there"
    edit = review_edit(PLAN, PLAN.replace(before, line))
    assert (edit.faults, edit.closed) == ([], 1)
