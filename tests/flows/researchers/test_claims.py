"""Which task a researcher takes up, and what Wildloop adds to the plan."""

from wildloop.flows.protocol.plan import parse_plan
from wildloop.flows.researchers.claims import next_claim, tasks_before, with_task

PLAN = """\
## Phase 1 - One

- [x] [P1-T1] a
- [ ] [P1-T2] b
- [/] [P1-T3] c
- [ ] [P1-T4] Reflection gate (midpoint)

## Phase 2 - Two

- [ ] [P2-T1] d
"""


def test_the_first_open_task_that_nobody_has_before_the_next_gate() -> None:
    plan = parse_plan(PLAN)
    assert next_claim(plan, None, {"P1-T3"}) == "P1-T2"
    # What somebody has begun goes first.
    assert next_claim(plan, None, set()) == "P1-T3"
    assert next_claim(plan, None, {"P1-T2", "P1-T3"}) is None


def test_so_many_tasks_behind_a_gate_are_begun_before_its_reflection() -> None:
    text = PLAN + "- [ ] [P2-T2] e\n- [ ] [P2-T3] f\n- [ ] [P2-T4] Reflection gate (final)\n"
    plan, before = parse_plan(text), {"P1-T2", "P1-T3"}
    assert next_claim(plan, None, before, ahead=2) == "P2-T1"
    assert next_claim(plan, None, {"P1-T3", "P2-T1"}, ahead=2) == "P1-T2"
    assert next_claim(plan, None, {*before, "P2-T1"}, ahead=2) == "P2-T2"
    assert next_claim(plan, None, {*before, "P2-T1", "P2-T2"}, ahead=2) is None
    done = parse_plan(text.replace("[ ] [P2-T1]", "[x] [P2-T1]"))
    assert next_claim(done, None, {*before, "P2-T2"}, ahead=2) is None
    # What somebody has left begun behind the gate bars nobody from what is before it.
    begun = parse_plan(text.replace("[ ] [P2-T3]", "[/] [P2-T3]"))
    assert next_claim(begun, None, {"P1-T3", "P2-T1", "P2-T2"}, ahead=2) == "P1-T2"
    reflected = parse_plan(text.replace("[ ] [P1-T4]", "[x] [P1-T4]"))
    assert next_claim(reflected, None, {*before, "P2-T1", "P2-T2"}, ahead=2) == "P2-T3"
    assert tasks_before(plan, "P1-T4") == {"P1-T1", "P1-T2", "P1-T3"}


def test_a_task_that_is_still_open_stays_its_claimers() -> None:
    plan = parse_plan(PLAN)
    assert next_claim(plan, "P1-T3", {"P1-T2"}) == "P1-T3"
    assert next_claim(plan, "P1-T1", {"P1-T3"}) == "P1-T2"


def test_a_task_is_added_once_before_the_gate_of_the_phase() -> None:
    once = with_task(PLAN, "P1-T2", "merge `x` | deliverable: y", "`x`")
    lines = once.splitlines()
    assert lines.index("- [ ] [P1-T5] merge `x` | deliverable: y") == 5
    assert with_task(once, "P1-T2", "merge `x` | deliverable: y", "`x`") == once
    assert "[P1-T5] other" in with_task(PLAN, None, "other", "other")
