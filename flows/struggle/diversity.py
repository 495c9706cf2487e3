"""When the search goes round in circles: plateaus, and one kind of change over and over."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.models.change import Change, ChangeKind
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.struggle.struggle import STALL_CONFIGURATIONS, History, plateau

SAME_KIND = 3
NEAR = 2


def diversity_section(
    records: Sequence[IterationRecord],
    account: Account,
    k: int = STALL_CONFIGURATIONS,
    asks_kind: bool = True,
) -> str:
    """What the next prompt says of plateaus and kinds of change; empty when all is well.

    Hints ring between iterations only, and never in a line that improves: of three changes of one
    kind none may have brought a new best.

    Args:
        records: the session's records in their order.
        account: of its runs.
        k: number of configurations without improvement that make a plateau.
        asks_kind: whether a kind of change that was not said is asked for: its reply may say it.
    """
    parts = []
    between = not records or records[-1].promise != "WAITING"
    stalled = plateau(History.of(account), k) if between else None
    repeated = same_kind(records) if between else None
    if repeated and _improves(records, account):
        repeated = None
    if stalled:
        parts.append(stalled)
    if repeated:
        parts.append(
            f"The last {SAME_KIND} iterations that changed something all tried the same kind of "
            f"change, and none of them gave a new best: {repeated.value}."
        )
    if stalled or repeated:
        parts.append(_near_misses(account))
        parts.append(_other_kinds(records))
    if asks_kind and between and (silent := undeclared(records)):
        parts.append(
            f"{silent} did not say what kind of change it made. End the reply with "
            f'`<change kind="...">one line</change>`: one of {", ".join(ChangeKind)}.'
        )
    return "## Where to look next\n\n" + "\n\n".join(filter(None, parts)) + "\n" if parts else ""


def _improves(records: Sequence[IterationRecord], account: Account) -> bool:
    """Whether one of the last changes gave the best mean of its time."""
    indices = {it.index for it, _ in changes(records)[-SAME_KIND:]}
    own = {id for it in records if it.index in indices for id in it.run_ids}
    sign = 1.0 if account.direction == "max" else -1.0
    top = -math.inf
    for one in account.configurations:
        if one.mean is None or one.withdrawn:
            continue
        if sign * one.mean > top:
            top = sign * one.mean
            if any(run.id in own for run in one.runs) and one is not account.baseline:
                return True
    return False


def changes(records: Sequence[IterationRecord]) -> list[tuple[IterationRecord, Change]]:
    """The iterations that declared a change, `none` left out; the last call of each."""
    calls = [it for it in records if it.kind == "iteration"]
    groups = [list(group) for _, group in groupby(calls, key=lambda it: it.index)]
    told = [[it for it in group if it.change is not None] for group in groups]
    found = [(group[-1], group[-1].change) for group in told if group]
    return [(it, one) for it, one in found if one and one.kind is not ChangeKind.NONE]


def same_kind(records: Sequence[IterationRecord], number: int = SAME_KIND) -> ChangeKind | None:
    """The kind of the last `number` declared changes, if they share one."""
    kinds = [change.kind for _, change in changes(records)[-number:]]
    return kinds[0] if len(kinds) == number and len(set(kinds)) == 1 else None


def undeclared(records: Sequence[IterationRecord]) -> str | None:
    """The last iteration's label, if it created runs or changed files and declared nothing."""
    calls = [it for it in records if it.kind == "iteration"]
    group = [it for it in calls if it.index == calls[-1].index]
    has_work = any(it.files_changed or it.run_ids for it in group)
    is_told = any(it.change is not None for it in group)
    return group[0].label if group and has_work and not is_told else None


def near_misses(account: Account) -> list[Configuration]:
    """The best and the candidates that look as good or better; the best of them first."""
    best = [account.best] if account.best is not None else []
    return [*best, *account.candidates[:NEAR]]


def _near_misses(account: Account) -> str:
    near = near_misses(account)
    metric = account.contract.metric
    if len(near) < 2 or metric is None:
        return ""
    lines = [f"- {one.name}: {metric.name} {one.score}" for one in near]
    return (
        "The best and what looks better but is not shown to be. What differs between them may be "
        "worth combining, or worth more seeds:\n" + "\n".join(lines)
    )


def _other_kinds(records: Sequence[IterationRecord]) -> str:
    """What has been tried how often, and what to try instead."""
    counts = Counter(change.kind for _, change in changes(records))
    kinds = [kind for kind in ChangeKind if kind is not ChangeKind.NONE]
    tried = ", ".join(f"{kind.value} {counts[kind]}" for kind in kinds)
    last = same_kind(records)
    fewest = sorted((kind for kind in kinds if kind is not last), key=lambda kind: counts[kind])
    return (
        f"Changes so far: {tried}. Make the next one of a different kind, such as "
        f"{fewest[0].value} or {fewest[1].value}, and change the plan for it if need be."
    )
