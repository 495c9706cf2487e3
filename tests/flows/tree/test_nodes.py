"""The tree of a session: what began with what, and with which numbers."""

from tests.support.changes import BASE, Night, commit_of
from wildloop.flows.models.change import ChangeKind
from wildloop.flows.models.tree import ROOT, Outcome, TreeNode

LOW, HIGH = (0.800, 0.803, 0.796), (0.900, 0.903, 0.896)


def night() -> Night:
    """Baseline, a discarded change, a kept one, one that crashes, one that only writes."""
    found = Night().iteration(LOW, BASE, kind=None)
    found.iteration((0.79, 0.80, 0.81)).iteration(HIGH).iteration((None, None))
    return found


def by_id(found: Night) -> dict[str, TreeNode]:
    return {one.id: one for one in found.nodes}


def test_each_change_is_a_node_below_the_code_that_it_began_with() -> None:
    nodes = by_id(night())
    assert list(nodes) == [ROOT, "iteration-02", "iteration-03", "iteration-04"]
    assert {id: one.parent for id, one in nodes.items()} == {
        ROOT: None,
        "iteration-02": ROOT,
        "iteration-03": ROOT,
        "iteration-04": "iteration-03",
    }
    outcomes = [one.outcome for one in nodes.values()]
    assert outcomes == [Outcome.ROOT, Outcome.DISCARDED, Outcome.KEPT, Outcome.FAILED]
    assert [id for id, one in nodes.items() if one.is_here] == ["iteration-03"]
    assert [id for id, one in nodes.items() if one.is_best] == ["iteration-03"]


def test_its_numbers_are_those_of_the_ledger_and_the_account() -> None:
    found = night()
    node, verdict = by_id(found)["iteration-03"], found.state.verdicts[2]
    assert verdict.candidate is not None and verdict.comparison is not None
    assert node.gain == verdict.comparison and node.against == "the best of then"
    assert node.value == found.account.by_id[verdict.candidate.id].counted
    assert (node.commit, node.base) == (commit_of(3), commit_of(0))
    assert len(node.run_ids) == 3 and node.run_seconds == 6.0
    assert (node.cost_usd, node.agent_seconds, node.calls) == (0.5, 10.0, 1)


def test_runs_of_the_code_that_is_there_are_no_change() -> None:
    found = night().iteration((0.901, 0.9, 0.899), "code-3", kind=ChangeKind.NONE)
    assert [one.id for one in found.nodes][-1] == "iteration-04"
    assert len(by_id(found)["iteration-03"].run_ids) == 6
    assert len(by_id(night())[ROOT].run_ids) == 3, "the baseline's are the beginning's"


def test_what_only_writes_is_none_and_what_is_not_measured_stays() -> None:
    found = night().iteration(files_changed=1, kind="architecture")
    assert found.nodes[-1].outcome is Outcome.UNDECIDED and found.nodes[-1].is_here
    noted = night().iteration(files_changed=1, kind=ChangeKind.NONE)
    assert noted.nodes[-1].id == "iteration-04"


def test_what_began_with_a_discarded_change_is_below_it() -> None:
    better = (0.95, 0.953, 0.946)
    found = night().iteration(better, start="iteration-02")
    node = found.nodes[-1]
    assert (node.parent, node.outcome, node.base) == ("iteration-02", Outcome.KEPT, commit_of(2))
    assert node.is_best and node.is_here


def test_what_began_elsewhere_and_does_not_beat_the_best_is_taken_back() -> None:
    for values in ((0.80, 0.803, 0.796), ()):
        found = night().iteration(values, start="iteration-02")
        assert found.state.verdicts[-1].status == "discard"
        assert [one.id for one in found.nodes if one.is_here] == ["iteration-03"]
    assert "its change stays" not in found.state.verdicts[-1].why
    assert "the code of iteration-02, so the best's is put back" in found.state.verdicts[-1].why


def test_what_went_back_and_did_nothing_is_no_change() -> None:
    found = night().iteration(start="iteration-02", files_changed=0)
    assert found.nodes[-1].id == "iteration-04"
    assert found.state.verdicts[-1].status == "discard"


def test_more_seeds_of_a_discarded_change_that_win_keep_it() -> None:
    found = night()
    found.iteration((0.95, 0.953, 0.946, 0.95), "code-2", start="iteration-02")
    node = by_id(found)["iteration-02"]
    assert node.id in [one.id for one in found.nodes] and "iteration-05" not in by_id(found)
    assert len(node.run_ids) == 7


def test_a_session_that_keeps_everything_is_told_by_the_account() -> None:
    found = Night(keeps=False).iteration(LOW, BASE).iteration((0.8, 0.81)).iteration(HIGH)
    nodes = by_id(found)
    assert [one.parent for one in nodes.values()] == [None, ROOT, "iteration-02"]
    best = nodes["iteration-03"]
    assert best.gain == found.account.comparisons[best.configuration or ""]
    assert (best.against, best.outcome) == ("the baseline", Outcome.KEPT)


def test_nothing_has_run_yet() -> None:
    (root,) = Night().nodes
    assert (root.id, root.value, root.is_here, root.is_best) == (ROOT, None, True, False)
