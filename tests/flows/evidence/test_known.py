"""An account made from what an earlier one has found is the one that is made from nothing."""

import random
from collections.abc import Callable

import pytest

from tests.support.records import made_run
from wildloop.flows.evidence.account import Account, Branch, Contract
from wildloop.flows.evidence.known import Known
from wildloop.flows.evidence.own import with_own
from wildloop.flows.evidence.same import same_or_made
from wildloop.flows.evidence.view import view_of
from wildloop.flows.models.own_runs import OwnRuns, own_id
from wildloop.flows.models.run import Run, RunStatus
from wildloop.flows.project import MetricConfig

PROJECT = "python3 train.py"
STEPS = 60


def told(
    runs: list[Run], own: list[Run], contract: Contract, branch: Branch | None, known: Known
) -> str:
    """The whole account as it is answered."""
    known.begin()
    every, further, evaluated = with_own(runs, own, "score", known)
    if contract.evaluated is not None:
        contract.evaluated = evaluated
    labels = {run.id: f"iteration-{int(run.created_at) // 7:02d}" for run in runs}
    account = same_or_made(every, contract, branch, labels, None, further, known)
    return view_of(account, "s", {}).model_dump_json()


def wait(number: int) -> Run:
    """A run that waits in the queue."""
    run = made_run(number, None, command=PROJECT, code=None, chat_session_id="s")
    waits = {"status": RunStatus.QUEUED, "started_at": None, "finished_at": None}
    return run.model_copy(update=waits)


def begin(draw: random.Random, number: int) -> Run:
    """A run under way, of one of some configurations."""
    lr, seed = draw.choice([1, 1, 2, 3, 4]), draw.choice([None, 0, 1, 2])
    command = f"{PROJECT} --lr {lr}" + ("" if seed is None else f" --seed {seed}")
    run = made_run(number, None, command=command, code=draw.choice("ab"), chat_session_id="s")
    return run.model_copy(update={"status": RunStatus.RUNNING, "finished_at": None})


def end(draw: random.Random, run: Run) -> Run:
    """The run at its end, now and then without a value."""
    if draw.random() < 0.15:
        return run.model_copy(update={"status": RunStatus.FAILED, "finished_at": run.created_at})
    value = round(draw.gauss(0.5, 0.1), 3)
    ended = {"status": RunStatus.FINISHED, "metrics": {"score": value}}
    return run.model_copy(update=ended | {"finished_at": run.created_at + 2})


def own_of(draw: random.Random, run: Run, number: int) -> Run:
    """One of Wildloop's own: again, of what it is worth, or once all is decided."""
    kind = draw.choice([OwnRuns.CONFIRM, OwnRuns.EVALUATE, OwnRuns.FURTHER])
    made = made_run(
        number,
        round(draw.gauss(0.5, 0.1), 3),
        command=f"{run.command} --seed {number}" if kind is not OwnRuns.EVALUATE else "score.py",
        code=run.code,
        chat_session_id=own_id("s", kind),
    )
    return made.model_copy(update={"parent_run_id": run.id})


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "contract",
    [
        lambda: Contract(MetricConfig(name="score"), command=PROJECT, code="a", confirms=True),
        lambda: Contract(
            MetricConfig(name="score"), command=PROJECT, is_guarded=True, evaluated={}
        ),
    ],
)
def test_it_is_the_account_made_from_nothing(seed: int, contract: Callable[[], Contract]) -> None:
    draw, known = random.Random(seed), Known()
    runs: list[Run] = []
    own: list[Run] = []
    for step in range(STEPS):
        at = draw.randrange(len(runs)) if runs else 0
        match draw.choice(["begin", "begin", "end", "end", "own", "withdraw", "archive"]):
            case "end" if runs and not runs[at].status.is_terminal:
                runs[at] = end(draw, runs[at])
            case "own" if runs and runs[at].status is RunStatus.FINISHED:
                own.append(own_of(draw, runs[at], 1000 + step))
            case "withdraw" if runs and draw.random() < 0.3:
                runs[at] = runs[at].model_copy(update={"withdrawn": "a fault"})
            case "archive" if runs:
                runs[at] = runs[at].model_copy(update={"is_archived": True})
            case _:
                runs.append(begin(draw, step))
        branch = None
        if draw.random() < 0.3:
            ids = [one.id for one in Account(runs, contract()).configurations]
            branch = Branch(best=draw.choice(ids), baseline=draw.choice(ids)) if ids else None
        fresh = told(runs, own, contract(), branch, Known())
        assert told(runs, own, contract(), branch, known) == fresh
        # What asks for nothing new computes nothing anew, and says the same.
        assert told(list(runs), list(own), contract(), branch, known) == fresh
        # Nor does a run that waits.
        later = [*runs, wait(2000 + step)]
        assert told(later, own, contract(), branch, Known()) == fresh
        assert told(later, own, contract(), branch, known) == fresh


def test_what_an_account_does_not_ask_for_is_dropped() -> None:
    known = Known()
    made = [known.get(key, (made_run,), lambda: "once") for key in ("a", "b")]
    known.begin()
    made.append(known.get("a", (made_run,), lambda: "again"))
    known.begin()
    assert made == ["once"] * 3
    assert known.get("a", (made_run,), lambda: "again") == "once"
    assert known.get("b", (made_run,), lambda: "again") == "again"
    assert known.get("a", (begin,), lambda: "of another") == "of another"


def test_the_account_before_serves_until_something_comes_that_it_tells_of() -> None:
    draw, known = random.Random(1), Known()
    contract = Contract(MetricConfig(name="score"), command=PROJECT, code="a")
    runs = [end(draw, begin(draw, number)) for number in range(4)]

    def account(given: list[Run], labels: dict[str, str], texts: dict[str, str]) -> Account:
        known.begin()
        return same_or_made(given, contract, None, labels, texts, [], known)

    first = account(runs, {}, {})
    assert account([*runs, wait(9)], {wait(9).id: "iteration-02"}, {}) is first
    assert account(runs, {}, {}) is first
    others = [
        account([*runs, begin(draw, 9)], {}, {}),
        account(runs[:3], {}, {}),
        account(runs, {runs[0].id: "iteration-01"}, {}),
        account(runs, {}, {"s": "an ablation"}),
        account([runs[0].model_copy(), *runs[1:]], {}, {}),
    ]
    assert first not in others
    # Whatever was worked out for the one is at hand for the next.
    assert account([runs[0], *runs[1:]], {}, {}).configurations
