"""With keep, only confirmed values are kept where Wildloop can run a candidate again."""

from tests.support.records import made_run
from wildloop.flows.evidence.account import Account, Branch, Contract
from wildloop.flows.keep.decide import NOT_PROMISING, NOT_RUN, Change, Decision, decide
from wildloop.flows.keep.measured import evidence_of
from wildloop.flows.loop.confirming import runs_left
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.evidence import Level
from wildloop.flows.models.keep import KeepState, KeepStatus, Verdict
from wildloop.flows.models.own_runs import OwnRuns, own_id
from wildloop.flows.models.run import Run
from wildloop.flows.project import MetricConfig

COMMAND = "python train.py"
CONTRACT = Contract(MetricConfig(name="score"), command=COMMAND, is_guarded=True, confirms=True)


def group(first: int, values: list[float], code: str, own: bool = False) -> list[Run]:
    return [
        made_run(
            first + n,
            value,
            command=f"{COMMAND} --seed {first + n}",
            code=code,
            chat_session_id=own_id("s", OwnRuns.CONFIRM) if own else "s",
        )
        for n, value in enumerate(values)
    ]


OLD = group(0, [0.70, 0.71, 0.72], "old")
OLD_OWN = group(100, [0.69, 0.71, 0.70, 0.72], "old", own=True)
NEW = group(20, [0.80, 0.81, 0.79], "new")


def decided(*runs: list[Run]) -> Decision:
    every = [run for found in runs for run in found]
    first = Account(every, CONTRACT).by_run[OLD[0].id]
    account = Account(every, CONTRACT, Branch(best=first.id, baseline=first.id))
    candidates = [one for one in account.configurations if one.code == "new"]
    best = evidence_of(account.by_id[first.id], 1, "c", {})
    return decide(account, Change(candidates=candidates, best=best, iteration=2))


def test_what_only_the_agent_has_run_is_not_kept_however_good() -> None:
    found = decided(OLD, NEW)
    assert (found.status, found.is_tested) == (KeepStatus.DISCARD, False)
    assert found.why.startswith(NOT_RUN)


def test_what_wildloop_has_run_again_is_kept_by_these_runs_alone() -> None:
    found = decided(OLD, OLD_OWN, NEW, group(200, [0.78, 0.80, 0.79, 0.81], "new", own=True))
    assert (found.status, found.is_tested) == (KeepStatus.KEEP, True)
    assert found.candidate is not None and found.candidate.level is Level.CONFIRMED
    assert found.candidate.values == [0.78, 0.80, 0.79, 0.81]
    assert found.comparison is not None and found.comparison.theirs.n == 4


def test_luck_of_the_agents_seeds_does_not_hold() -> None:
    found = decided(OLD, OLD_OWN, NEW, group(200, [0.70, 0.71, 0.69, 0.72], "new", own=True))
    assert (found.status, found.is_tested) == (KeepStatus.DISCARD, True)


def test_what_does_not_look_better_is_not_run_again_and_takes_nothing_of_alpha() -> None:
    found = decided(OLD, group(20, [0.69, 0.70, 0.71], "new"))
    assert found.status is KeepStatus.DISCARD and found.why.startswith(NOT_PROMISING)
    verdict = Verdict(
        iteration=2,
        label="iteration-02",
        status=found.status,
        why=found.why,
        comparison=found.comparison,
        is_tested=found.is_tested,
    )
    assert KeepState(verdicts=[verdict]).tests == 0


def test_wildloops_own_runs_are_a_share_and_always_enough_for_one_candidate() -> None:
    contract = SessionContract(confirm_seeds=6, confirm_share=0.5)
    own = group(0, [0.1] * 12, "c", own=True)
    assert runs_left(contract, 0, [], None, is_last=True) == 12
    assert runs_left(contract, 5, [], None, is_last=True) == 14
    assert runs_left(contract, 5, [], None, is_last=False) == 8
    assert runs_left(contract, 5, own, None, is_last=True) == 2
    assert runs_left(contract, 12, own, None, is_last=True) == 6
    assert runs_left(contract, 5, own, 20, is_last=True) == 0
    assert runs_left(contract, 5, [], 100, is_last=False) == 44
    assert runs_left(contract, 5, own, 100, is_last=False) == 32
