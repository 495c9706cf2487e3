"""What a session is called in Prefect's lists."""

import re

import pytest
from prefect.runtime import flow_run

from wildloop.flows.research_loop import research_loop
from wildloop.flows.store.naming import own_name, readable_key

DAY = r"\d{4}-\d\d-\d\d"


@pytest.mark.parametrize(
    ("given", "goal", "named"),
    [
        ("naughty-firefly", "Raise the\n score", rf"Raise the score, {DAY}"),
        ("naughty-firefly", "g" * 100, rf"g{{80}}, {DAY}"),
        ("naughty-firefly", None, "naughty-firefly"),
        ("naughty-firefly", "  ", "naughty-firefly"),
        ("The night of the 3rd", "Raise the score", "The night of the 3rd"),
        ("Raise the score", "Raise the score", "Raise the score"),
    ],
)
def test_made_up_names_give_way_to_goal_and_date(
    monkeypatch: pytest.MonkeyPatch, given: str, goal: str | None, named: str
) -> None:
    monkeypatch.setattr(flow_run, "name", given, raising=False)
    monkeypatch.setattr(flow_run, "parameters", {"goal": goal}, raising=False)
    assert re.fullmatch(named, own_name())


def test_the_loop_is_named_so() -> None:
    assert research_loop.flow_run_name is own_name


@pytest.mark.parametrize(
    ("goal", "key"),
    [
        ("Lower the loss!", "plan-lower-the-loss-4f1c09aa"),
        ("降低损失", "plan-4f1c09aa"),
        ("a" * 300, "plan-4f1c09aa"),
        (
            "one two three four five six seven eight nine",
            "plan-one-two-three-4f1c09aa",
        ),
    ],
)
def test_keys_can_be_read_and_are_short(goal: str, key: str) -> None:
    found = readable_key("plan", goal, "4f1c09aa-1111-2222-3333-444455556666")
    assert found.startswith(key.removesuffix("-4f1c09aa")) and found.endswith("-4f1c09aa")
    assert re.fullmatch(r"[a-z0-9-]{1,60}", found)
