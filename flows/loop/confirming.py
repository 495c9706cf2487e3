"""Wildloop's own runs: what looks better is run again, on fresh seeds, and outputs are evaluated.

They run beside the agent. Each is made once, by a key of its own, whatever dies meanwhile.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from prefect.logging import get_run_logger

from wildloop.flows.evidence.confirm import (
    candidates_to_confirm,
    wanted_further,
    wanted_runs,
)
from wildloop.flows.loop.work import Work
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.own_runs import OwnRuns, is_confirmation, own_id
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_record import Phase
from wildloop.flows.session.evidence import account_for
from wildloop.flows.spending import grace_seconds, hours_end_at
from wildloop.flows.store.own_runs import (
    evaluate,
    own_runs,
    purposes,
    repeats_of,
    run_again,
)
from wildloop.flows.store.sessions import stop_runs

LAST_WAIT_SECONDS = 1800.0
CHECK_SECONDS = 5.0
SEEDS_FROM, SEEDS_TO = 1_000, 100_000


async def confirm(
    work: Work, among: Sequence[str] | None = None, is_last: bool = False
) -> list[str]:
    """Have what looks better run again, within its share; what waits for evaluation is evaluated.

    Args:
        work: the session.
        among: ids of the configurations that are asked about (default: all).
        is_last: whether the session is at its end, so that nothing is held back for it.

    Returns:
        Ids of Wildloop's own runs that are not over.
    """
    contract, runs = work.position.record.contract, work.stores.runs
    if contract is None or contract.metric is None or not contract.needs_own_runs:
        return []
    every = await runs.all(chat_session_id=work.position.id)
    own = await own_runs(runs, work.position.id, contract)
    made = await evaluate(runs, work.position.id, contract, [*every, *own])
    made += [run.id for run in own if not run.status.is_terminal and _is_meant(work, run, every)]
    # Claimed values choose nobody where the true ones are under way.
    is_evaluating = bool(made) and contract.evaluate is not None
    if contract.may_confirm and not is_evaluating and (among is not None or not work.keeps):
        account = account_for(work.position, work.project, every, own=own)
        chosen = candidates_to_confirm(
            account, None if among is None else [account.by_id[id] for id in among]
        )
        if among is None:
            chosen = chosen[:1]
        left = runs_left(contract, len(every), own, work.position.spec.budget.runs, is_last)
        for one in wanted_runs(account, chosen, contract.confirm_seeds, left):
            held = work.position.record.confirm_seeds
            seeds = await _seeds(work, held, contract.confirm_seeds)
            made += await run_again(runs, work.position.id, contract, one, seeds)
    return made


def runs_left(
    contract: SessionContract, agents: int, own: Sequence[Run], bound: int | None, is_last: bool
) -> int:
    """How many runs of its own Wildloop may still make.

    A share of the agent's budget of runs on top of these, and always enough for one candidate and
    what it is compared with. Without a budget it is a share of the agent's runs so far beside that:
    what is found early is not to be lost for want of runs. Before the end, what the last candidate
    needs is held back: what was confirmed early is not to stay the best for want of runs.
    """
    seeds = contract.confirm_seeds
    share = int(contract.confirm_share * (agents if bound is None else bound))
    allowed = 2 * seeds + share if bound is None else max(2 * seeds, share)
    used = sum(map(is_confirmation, own))
    kept_back = 0 if is_last else seeds
    return allowed - used - kept_back


async def confirm_and_wait(work: Work, among: Sequence[str]) -> None:
    """Have the candidates of an iteration confirmed before it is decided about them."""
    look = partial(confirm, work, among, is_last=True)
    if not await look():
        return
    await work.position.enter(Phase.WAITING)
    budget, record = work.position.spec.budget, work.position.record
    until = hours_end_at(budget, record)
    if record.closing is not None:
        until = _now() + min(LAST_WAIT_SECONDS, grace_seconds(budget, record.closing))
    await _wait(work, look, until)


async def confirm_last(work: Work) -> None:
    """At the end of a session: have its best confirmed, and wait for that, half an hour at most.

    After a budget of hours it is a tenth of that at most.
    """
    budget, record = work.position.spec.budget, work.position.record
    closing = record.closing
    is_timed = closing is not None and closing.name == "hours"
    seconds = grace_seconds(budget, closing) if closing and is_timed else LAST_WAIT_SECONDS
    until = _now() + seconds
    steps = {
        "the best is run again by Wildloop, on fresh seeds": partial(confirm, work, is_last=True),
        "best and baseline are run again by Wildloop, on seeds that decide nothing": partial(
            run_further, work, until
        ),
    }
    for note, look in steps.items():
        if await look():
            record.note = note
            await work.position.enter(Phase.WAITING)
            await _wait(work, look, until)
    record.note = ""


async def run_further(work: Work, until: float) -> list[str]:
    """Have best and baseline run on seeds that decide nothing; ids of what is not over.

    What is shown has passed a test, so by the seeds that it passed by it is rather too high. These
    come once nothing is left to decide, as many as there is time for.
    """
    contract, runs, id = work.position.record.contract, work.stores.runs, work.position.id
    if contract is None or not contract.may_confirm or not contract.further_seeds:
        return []
    every = await runs.all(chat_session_id=id)
    own = await own_runs(runs, id, contract)
    made = await evaluate(runs, id, contract, [*every, *own])
    made += [run.id for run in own if not run.status.is_terminal]
    account = account_for(work.position, work.project, every, own=own)
    for one in wanted_further(account, contract.further_seeds, until - _now()):
        if repeats_of(one.configuration, own, OwnRuns.FURTHER):
            continue
        seeds = await _seeds(work, work.position.record.further_seeds, one.runs)
        made += await run_again(runs, id, contract, one, seeds, 0, OwnRuns.FURTHER)
    return made


def _is_meant(work: Work, run: Run, every: Sequence[Run]) -> bool:
    """Whether one of Wildloop's own runs is waited for: of several researchers each waits for what
    repeats a run of its own, and for what all are compared with.
    """
    if work.position.researcher is None:
        return True
    best = work.position.record.keep.best
    known = {one.id for one in every if work.position.owns(one)}
    return run.parent_run_id in known | set(best.run_ids if best is not None else ())


async def stop_own(work: Work) -> None:
    """Stop what Wildloop has begun for a session that is over."""
    id = work.position.id
    for purpose in purposes(work.position.record.contract):
        await stop_runs(work.stores.runs, own_id(id, purpose), running=True)


async def _wait(work: Work, look: Callable[[], Awaitable[list[str]]], until: float | None) -> None:
    """Wait until `look` finds none of Wildloop's own runs; one that ends may call for others."""
    while True:
        work.control.activity.clear()
        if not await look():
            return
        if until is not None and _now() > until:
            get_run_logger().warning("the time for Wildloop's own runs is over")
            return
        await work.control.guard(work.control.something_happens(CHECK_SECONDS))


async def _seeds(work: Work, held: list[int], count: int) -> list[int]:
    """Fresh seeds of the session, the same for all that are compared; nobody can foretell them.

    Args:
        work: the session.
        held: the record's list of them, which is filled up.
        count: how many are needed.
    """
    record = work.position.record
    while len(held) < max(1, count):
        seed = random.SystemRandom().randrange(SEEDS_FROM, SEEDS_TO)
        if seed not in [*record.confirm_seeds, *record.further_seeds]:
            held.append(seed)
    await work.position.save()
    return held


def _now() -> float:
    return datetime.now(UTC).timestamp()
