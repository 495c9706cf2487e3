"""Where to go on from."""

import math
from itertools import pairwise

import pytest

from tests.flows.tree.test_nodes import LOW
from tests.support.changes import BASE, Night, commit_of
from wildloop.flows.models.tree import ROOT
from wildloop.flows.protocol.plan import Task, TaskStatus
from wildloop.flows.tree.choice import EXPLORATION, branches, chosen
from wildloop.flows.tree.named import UnknownNode, named_node
from wildloop.flows.tree.reasons import is_about_the_best, why_chosen

NEAR = (0.899, 0.897, 0.901)


def night(tries: int) -> Night:
    """A kept change, one beside it that is nearly as good, and so many that came to nothing."""
    found = Night().iteration(LOW, BASE).iteration((0.900, 0.903, 0.896)).iteration(NEAR)
    for number in range(tries):
        found.iteration((0.5 + number / 100,) * 3)
    return found


def test_the_best_is_gone_on_from_until_it_was_tried_often() -> None:
    assert chosen(night(0).nodes, "max") is None
    later = [chosen(night(tries).nodes, "max") for tries in range(1, 8)]
    names = [one.node.id if one else "" for one in later]
    assert "iteration-03" in names
    first = names.index("iteration-03")
    assert set(names[:first]) <= {""}, "before it, what lies there"
    assert "nothing has begun there yet" in why_chosen(later[first] or pytest.fail())


def test_the_bound_is_that_of_ucb1_on_shares_of_rank() -> None:
    found = night(1)
    (near,) = [one for one in branches(found.nodes, "max") if one.node.id == "iteration-03"]
    # Better than two of three others; tried once by itself. The pulls of all: 2, 3, 1 and 1.
    assert near.bound == pytest.approx(2 / 3 + EXPLORATION * math.sqrt(2 * math.log(7)))
    bounds = [one.bound for one in branches(found.nodes, "max")]
    assert all(one >= other for one, other in pairwise(bounds))


def test_smaller_may_be_better() -> None:
    found = Night("min").iteration((0.9, 0.903, 0.896), BASE).iteration((0.95, 0.953, 0.946))
    assert next(one.node.id for one in branches(found.nodes, "min")) == ROOT


def test_what_crashed_and_what_took_a_part_out_are_no_places_to_go_on_from() -> None:
    found = night(0).iteration((None,)).iteration((0.7, 0.71, 0.72), name="ablation")
    names = {one.node.id for one in branches(found.nodes, "max")}
    assert names == {ROOT, "iteration-02", "iteration-03"}


def test_one_node_alone_is_no_choice() -> None:
    assert chosen(Night().iteration(LOW, BASE).nodes, "max") is None
    assert chosen(Night().nodes, "max") is None


@pytest.mark.parametrize(
    "name",
    ["iteration-03", "3", "iteration 3", "Iteration-3", commit_of(3), commit_of(3)[:7]],
)
def test_a_node_is_named_by_id_number_or_commit(name: str) -> None:
    assert named_node(night(0).nodes, name).id == "iteration-03"


def test_the_best_and_the_beginning_have_names() -> None:
    nodes = night(0).nodes
    assert named_node(nodes, "best").id == "iteration-02"
    assert named_node(nodes, "start").id == ROOT


@pytest.mark.parametrize("name", ["9", "iteration-09", "feed" * 10, "", "030303", "HEAD"])
def test_what_is_no_node_is_said_with_those_there_are(name: str) -> None:
    nodes = night(0).nodes
    with pytest.raises(UnknownNode, match="start, iteration-02, iteration-03"):
        named_node(nodes, name)


@pytest.mark.parametrize(
    ("text", "is_its"),
    [
        ("Ablation of the best", True),
        ("Confirm the best on seeds 3, 4, 5", True),
        ("Reflection gate (midpoint)", True),
        ("Try dropout", False),
        ("Widen the network", False),
    ],
)
def test_tasks_about_the_best_stay_with_it(text: str, is_its: bool) -> None:
    assert is_about_the_best(Task(text=text, status=TaskStatus.OPEN)) is is_its
