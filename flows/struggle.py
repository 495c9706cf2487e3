"""Signs that the agent is struggling, put into its next prompt."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

from flows.models.session import IterationRecord

WINDOW = 3
SHORT_SECONDS = 30.0
STALL_RUNS = 5
SHOWN = 300
# What differs between two sightings of one error: addresses, ids, times, measured numbers.
_VARYING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b|\d+\.\d+|\d{4,}")


def struggle_signs(
    iterations: Sequence[IterationRecord],
    metric_history: Sequence[float],
    direction: str,
    k: int = STALL_RUNS,
) -> list[str]:
    """The signs, as sentences for the agent; empty when all is well.

    Args:
        iterations: the session's records in their order; planning and reflections do not count,
            and the calls of one iteration (each WAITING begins another) count as one.
        metric_history: primary metric of the finished runs, in their order; NaN counts as a run
            without improvement.
        direction: `max` or `min`.
        k: number of finished runs without improvement that make a plateau, at least 1.
    """
    calls = [it for it in iterations if it.kind == "iteration"]
    groups = [list(group) for _, group in groupby(calls, key=lambda it: it.index)]
    recent = groups[-WINDOW:]
    signs = []
    if len(recent) == WINDOW:
        if all(it.files_changed == 0 for group in recent for it in group):
            runs = len({id for group in recent for it in group for id in it.run_ids})
            signs.append(
                f"No file of the project has changed in the last {WINDOW} iterations "
                f"({runs} runs were created meanwhile)."
            )
        if all(_is_short(group) for group in recent):
            signs.append(f"The last {WINDOW} iterations took under {SHORT_SECONDS:g} s each.")
    if repeated := _repeated_error([it for group in recent for it in group]):
        signs.append(f"The same error came twice in the last {WINDOW} iterations: {repeated}")
    if stalled := plateau(metric_history, direction, k):
        signs.append(stalled)
    if calls and (ended := _bad_end(calls[-1])):
        signs.append(ended)
    return signs


def plateau(history: Sequence[float], direction: str, k: int) -> str | None:
    """A sentence if none of the last `k` values is better than the best before them."""
    k = max(1, k)
    if len(history) <= k:
        return None
    sign = 1.0 if direction == "max" else -1.0
    worst = -sign * math.inf
    values = [worst if math.isnan(value) else value for value in history]
    before = sign * max(sign * value for value in values[:-k])
    last = sign * max(sign * value for value in values[-k:])
    if sign * last > sign * before:
        return None
    return (
        f"The primary metric has not improved in the last {k} finished runs "
        f"(best before: {before:.6g}, best since: {last:.6g})."
    )


def _is_short(group: Sequence[IterationRecord]) -> bool:
    """Whether an iteration was over in no time; one that has waited, or still goes on, was not."""
    seconds = 0.0
    for it in group:
        if it.promise == "WAITING" or it.finished_at is None:
            return False
        seconds += it.finished_at - it.started_at
    return seconds < SHORT_SECONDS


def _repeated_error(calls: Sequence[IterationRecord]) -> str | None:
    """The latest error, or fault told to the agent, that two of the calls have in common."""
    seen: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for it in calls:
        errors = {_likeness(text): text for text in [*it.faults, it.error or ""] if text.strip()}
        seen.update(errors.keys())
        shown |= errors
    repeated = [text for likeness, text in shown.items() if seen[likeness] > 1]
    return " ".join(repeated[-1].split())[:SHOWN] if repeated else None


def _likeness(error: str) -> str:
    return _VARYING.sub("#", " ".join(error.lower().split()))


def _bad_end(call: IterationRecord) -> str | None:
    """A sentence if the agent's call failed or timed out."""
    if not call.failed and call.exit_reason in ("", "finished"):
        return None
    why = " ".join((call.error or "no reason is known").split())[:SHOWN]
    how = "timed out" if call.exit_reason == "timeout" else "failed"
    return f"The last call of the agent {how}: {why}"
