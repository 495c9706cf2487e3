"""Signs that the agent is struggling, put into its next prompt."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

from wildloop.flows.evidence.ablation import is_ablation
from wildloop.flows.evidence.account import Account
from wildloop.flows.models.session_record import IterationRecord

WINDOW = 3
SHORT_SECONDS = 30.0
STALL_CONFIGURATIONS = 5
SHOWN = 300
# What differs between two sightings of one error: addresses, ids, times, measured numbers.
_VARYING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b|\d+\.\d+|\d{4,}")


class Sign(StrEnum):
    """What a sign is about."""

    UNCHANGED = "no file changed"
    IDLE = "no outcome"
    SHORT = "short iterations"
    REPEATED_ERROR = "the same error again"
    REPEATED_WORK = "the same work again"
    PLATEAU = "no improvement"
    BAD_END = "a failed call"


class Finding(NamedTuple):
    """A sign of struggle. Only one that `counts` leads further than to a hint.

    `error` is what went wrong, where the sign is about that; its text ends with it.
    """

    sign: Sign
    text: str
    counts: bool
    error: str = ""


class History(NamedTuple):
    """What was tried: the mean of each configuration in the order of their first runs.

    None stands for a configuration that has ended without a value.
    """

    means: Sequence[float | None] = ()
    direction: str = "max"

    @classmethod
    def of(cls, account: Account) -> "History":
        """The history that an account tells; the baseline begins it.

        An ablation is no try: nobody expects it to be better.
        """
        texts = account.sweep_texts
        tried = [
            one
            for one in account.configurations
            if one.is_over and not one.withdrawn and not one.is_archived
            if one is account.baseline or not is_ablation(one.runs[0], texts)
        ]
        means = [one.mean for one in tried] if account.contract.metric is not None else []
        return cls(means, account.direction)


def struggle_signs(
    iterations: Sequence[IterationRecord],
    history: History,
    k: int = STALL_CONFIGURATIONS,
    told: Sequence[str] = (),
) -> list[str]:
    """The signs, as sentences for the agent; empty when all is well. Arguments as of `findings`.

    A plateau is left out: `diversity_section` tells of it, with what to do about it. An error that
    stands in `told`, beside the signs, is not told again: only that it came twice.
    """
    texts, known = list[str](), [_likeness(text) for text in told]
    for one in findings(iterations, history, k):
        is_told = bool(one.error) and any(_likeness(one.error) in text for text in known)
        if one.sign is Sign.PLATEAU or (one.sign is Sign.BAD_END and is_told):
            continue
        if one.error:
            known.append(_likeness(one.error))
        texts.append(one.text.removesuffix(one.error) + "the one above" if is_told else one.text)
    return texts


def findings(
    iterations: Sequence[IterationRecord], history: History, k: int = STALL_CONFIGURATIONS
) -> list[Finding]:
    """The signs of struggle at the end of these records.

    Args:
        iterations: the session's records in their order; planning and reflections do not count,
            and the calls of one iteration (each WAITING begins another) count as one.
        history: the configurations that were tried, as the account has them.
        k: number of configurations without improvement that make a plateau, at least 1.
    """
    calls = [it for it in iterations if it.kind == "iteration"]
    groups = [list(group) for _, group in groupby(calls, key=lambda it: it.index)]
    recent = groups[-WINDOW:]
    found = _work_findings(recent) if len(recent) == WINDOW else []
    if repeated := _repeated_error([it for group in recent for it in group]):
        text, likeness = repeated
        found.append(
            Finding(
                Sign.REPEATED_ERROR,
                f"The same error came twice in the last {WINDOW} iterations: {text}",
                any(likeness in _errors(it) for it in groups[-1]),
                text,
            )
        )
    if stalled := plateau(history, k):
        # The iterations that only analyse or write do not make a plateau longer.
        has_runs = bool(groups) and any(it.run_ids for it in groups[-1])
        found.append(Finding(Sign.PLATEAU, stalled, has_runs))
    if calls and (ended := _bad_end(calls[-1])):
        how, why = ended
        found.append(Finding(Sign.BAD_END, f"The last call of the agent {how}: {why}", True, why))
    return found


def _work_findings(recent: Sequence[Sequence[IterationRecord]]) -> list[Finding]:
    """What the work of the last iterations says."""
    found = []
    calls = [it for group in recent for it in group]
    if all(it.files_changed == 0 for it in calls):
        runs = len({id for it in calls for id in it.run_ids})
        text = (
            f"No file of the project has changed in the last {WINDOW} iterations "
            f"({runs} runs were created meanwhile)."
        )
        is_idle = not any(_has_outcome(group) for group in recent)
        found.append(Finding(Sign.IDLE if is_idle else Sign.UNCHANGED, text, is_idle))
    if all(_is_short(group) for group in recent):
        text = f"The last {WINDOW} iterations took under {SHORT_SECONDS:g} s each."
        found.append(Finding(Sign.SHORT, text, False))
    summaries = {_likeness(group[-1].summary) for group in recent}
    if len(summaries) == 1 and summaries != {""} and not any(it.tasks_closed for it in calls):
        shown = " ".join(recent[-1][-1].summary.split())[:SHOWN]
        text = f"The last {WINDOW} iterations said the same and closed no task: {shown}"
        found.append(Finding(Sign.REPEATED_WORK, text, True))
    return found


def _has_outcome(group: Sequence[IterationRecord]) -> bool:
    """Whether an iteration brought something about, or rightly waited for its runs."""
    return any(
        it.files_changed or it.run_ids or it.tasks_closed or it.active_runs for it in group
    ) or (len(group) > 1)


def plateau(history: History, k: int) -> str | None:
    """A sentence if none of the last `k` configurations tried is better than the best before.

    Seeds of one configuration are one try; what was withdrawn or archived is none. A line of
    changes that improves, step by step, is no plateau.
    """
    k = max(1, k)
    if len(history.means) <= k:
        return None
    sign = 1.0 if history.direction == "max" else -1.0
    worst = -sign * math.inf
    values = [worst if one is None else one for one in history.means]
    before = sign * max(sign * value for value in values[:-k])
    last = sign * max(sign * value for value in values[-k:])
    if sign * last > sign * before or math.isinf(before):
        return None
    since = f"{last:.6g}" if math.isfinite(last) else "none has a value"
    return (
        f"None of the last {k} configurations tried has improved the primary metric "
        f"(best mean before: {before:.6g}, best since: {since})."
    )


def _is_short(group: Sequence[IterationRecord]) -> bool:
    """Whether an iteration was over in no time; one that has waited, or still goes on, was not."""
    seconds = 0.0
    for it in group:
        if it.promise == "WAITING" or it.finished_at is None:
            return False
        seconds += it.finished_at - it.started_at
    return seconds < SHORT_SECONDS


def _repeated_error(calls: Sequence[IterationRecord]) -> tuple[str, str] | None:
    """The latest error, or fault told to the agent, that two of the calls have in common.

    As (text, text without what differs between two sightings).
    """
    seen: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for it in calls:
        errors = _errors(it)
        seen.update(errors.keys())
        # Moved to the end, so that the latest comes last.
        shown = {key: text for key, text in shown.items() if key not in errors} | errors
    repeated = [(text, likeness) for likeness, text in shown.items() if seen[likeness] > 1]
    if not repeated:
        return None
    text, likeness = repeated[-1]
    return " ".join(text.split())[:SHOWN], likeness


def _errors(it: IterationRecord) -> dict[str, str]:
    """What went wrong in a call, and in the runs that ended before it, by likeness."""
    told = [*it.run_errors, *it.faults, it.error or ""]
    return {_likeness(text): text for text in told if text.strip()}


def _likeness(error: str) -> str:
    return _VARYING.sub("#", " ".join(error.lower().split()))


def _bad_end(call: IterationRecord) -> tuple[str, str] | None:
    """Whether the agent's call failed or timed out, and why; None for neither."""
    if not call.failed and call.exit_reason in ("", "finished"):
        return None
    why = " ".join((call.error or "no reason is known").split())[:SHOWN]
    how = "timed out" if call.exit_reason == "timeout" else "failed"
    return how, why
