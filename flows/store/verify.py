"""Confirming by hand: a configuration of a session, or its best, is run again by Wildloop."""

import random

from wildloop.flows.errors import Conflict, NotFound
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.confirm import SEEDS, Wanted
from wildloop.flows.models.own_runs import OwnRuns, is_evaluation
from wildloop.flows.models.verify import Verification, VerifiedSide
from wildloop.flows.store.account import session_account
from wildloop.flows.store.own_runs import evaluate, own_runs, repeats_of, run_again
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.sessions import SessionStore

SEEDS_FROM, SEEDS_TO = 1_000, 100_000


async def verify(
    sessions: SessionStore, runs: RunStore, id: str, seeds: int | None
) -> Verification:
    """Run a configuration again on fresh seeds, and the baseline beside it.

    Args:
        sessions: the sessions.
        runs: the runs.
        id: of a session, whose best is meant (else its first candidate), or of a run.
        seeds: how many fresh ones (default: the project's).

    Raises:
        NotFound: there is no such session or run.
        Conflict: there is nothing to run again, or a run of it could be no more than claimed.
    """
    session_id, run_id = await _which(runs, id)
    session = await sessions.get(session_id)
    account, _ = await session_account(sessions, runs, session)
    one = _meant(account, run_id)
    reasons = account.doubts_of(one.runs[0])
    if reasons:
        raise Conflict(f"{one.name} cannot be confirmed: {'; '.join(reasons)}")
    count = seeds or session.contract.confirm_seeds or SEEDS
    chosen = random.SystemRandom().sample(range(SEEDS_FROM, SEEDS_TO), count)
    made: list[str] = []
    base = account.baseline
    own = await own_runs(runs, session_id, session.contract)
    for side in [one] if base is None or base is one else [base, one]:
        wanted, begun = Wanted(side, count), len(repeats_of(side, own, OwnRuns.CONFIRM))
        made += await run_again(runs, session_id, session.contract, wanted, chosen, begun)
    return Verification(session_id=session_id, configuration=one.id, label=one.name, run_ids=made)


async def verification(
    sessions: SessionStore, runs: RunStore, session_id: str, configuration: str
) -> VerifiedSide:
    """What Wildloop's own runs of a configuration say as they stand.

    Once the session has ended nobody else has their outputs evaluated: it is begun here, each once.

    Raises:
        NotFound: there is no such session or configuration.
    """
    session = await sessions.get(session_id)
    # Before the account: what is over here has its value there.
    own = await own_runs(runs, session_id, session.contract)
    account, _ = await session_account(sessions, runs, session)
    one = account.by_id.get(configuration)
    if one is None:
        raise NotFound("configuration", configuration)
    base = account.baseline
    sides = [one] if base is None or base is one else [one, base]
    mine = [run for side in sides for run in repeats_of(side, own, OwnRuns.CONFIRM)]
    evaluations = [run for run in own if is_evaluation(run)]
    begun = await evaluate(runs, session_id, session.contract, [*mine, *evaluations])
    ids = {run.id for run in mine}
    waited_for = [*mine, *(run for run in evaluations if run.parent_run_id in ids)]
    left = len(begun) + sum(not run.status.is_terminal for run in waited_for)
    has_both = base is not None and base is not one and base.mean is not None and one.n > 0
    return VerifiedSide(
        level=one.level,
        estimate=one.compared,
        comparison=account.compare(one, base) if has_both and base is not None else None,
        runs_left=left,
    )


async def _which(runs: RunStore, id: str) -> tuple[str, str | None]:
    """The session, and the run if it is one's id."""
    try:
        run = await runs.get(id)
    except NotFound:
        return id, None
    if run.chat_session_id is None:
        raise Conflict(f"run '{id}' belongs to no session: nothing compares it")
    return run.chat_session_id.partition(":")[0], id


def _meant(account: Account, run_id: str | None) -> Configuration:
    if run_id is not None:
        found = account.by_run.get(run_id)
        if found is None:
            raise Conflict(f"run '{run_id}' is of unknown code: it cannot be run again as it was")
        return found
    best = account.best if account.best is not account.baseline else None
    one = best or next(iter(account.candidates), None) or account.baseline
    if one is None:
        raise Conflict("the session has no run with a value: there is nothing to confirm")
    return one
