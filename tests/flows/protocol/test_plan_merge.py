"""A plan that several have changed at the same time."""

import pytest

from wildloop.flows.protocol.plan_merge import merged_plan

BEFORE = "# Plan\n\n- [ ] [P1-T1] a\n- [ ] [P1-T2] b\n- [ ] [P1-T3] c\n\nnotes\n"
TICKED = BEFORE.replace("[ ] [P1-T1]", "[x] [P1-T1]")
OTHER = BEFORE.replace("[ ] [P1-T2]", "[x] [P1-T2]").replace("notes", "more notes")


def test_boxes_next_to_each_other_are_ticked_by_both() -> None:
    found = merged_plan(BEFORE, TICKED, OTHER)
    assert found == OTHER.replace("[ ] [P1-T1]", "[x] [P1-T1]")


@pytest.mark.parametrize(
    ("mine", "theirs", "wanted"),
    [
        (TICKED, BEFORE, TICKED),
        (BEFORE, OTHER, OTHER),
        (TICKED, TICKED, TICKED),
        # Closed by one, begun by the other.
        (BEFORE.replace("[ ] [P1-T1]", "[/] [P1-T1]"), TICKED, TICKED),
        (TICKED, BEFORE.replace("[ ] [P1-T1]", "[/] [P1-T1]"), TICKED),
        # Taken out by one and changed by the other.
        (BEFORE.replace("notes\n", ""), OTHER, OTHER),
    ],
)
def test_what_one_side_has_changed_stands(mine: str, theirs: str, wanted: str) -> None:
    assert merged_plan(BEFORE, mine, theirs) == wanted


def test_new_tasks_of_both_get_ids_of_their_own_and_merging_again_adds_none() -> None:
    mine = TICKED.replace("c\n", "c\n- [ ] [P1-T4] mine\n")
    theirs = OTHER.replace("c\n", "c\n- [ ] [P1-T4] theirs\n")
    found = merged_plan(BEFORE, mine, theirs)
    assert "- [ ] [P1-T4] theirs\n" in found and "- [ ] [P1-T5] mine\n" in found
    assert merged_plan(BEFORE, mine, found) == found
