"""Where slots were idle: the time of slots that no run has used, by what was going on."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

CAUSES = ("first call", "handing over", "reflection", "thinking", "end")
"""Before the first run was made; runs waited for a slot that was free; a reflection's call was
under way; nothing waited for a slot; nobody was called any more."""


def lost(
    runs: Sequence[dict[str, Any]], calls: Sequence[dict[str, Any]], slots: int, begin: float
) -> dict[str, float]:
    """Idle slot-seconds by cause, from `begin` (Unix seconds) to the end of the last run.

    Args:
        runs: finished ones, with `created_at`, `started_at` and `finished_at`.
        calls: of the agents, with `kind`, `started_at` and `finished_at`.
        slots: how many runs fit at a time.
        begin: when the first iteration has begun.
    """
    end = max(run["finished_at"] for run in runs)
    marks = {begin, end}
    for one in (*runs, *calls):
        for name in ("created_at", "started_at", "finished_at"):
            if begin < (at := one.get(name) or 0.0) < end:
                marks.add(at)
    found = dict.fromkeys(CAUSES, 0.0)
    for since, until in pairwise(sorted(marks)):
        idle = slots - sum(run["started_at"] <= since < run["finished_at"] for run in runs)
        if idle > 0:
            found[_cause(runs, calls, since, idle)] += idle * (until - since)
    return found


def _cause(
    runs: Sequence[dict[str, Any]], calls: Sequence[dict[str, Any]], at: float, idle: int
) -> str:
    if at < min(run["created_at"] for run in runs):
        return "first call"
    if sum(run["created_at"] <= at < run["started_at"] for run in runs) >= idle:
        return "handing over"
    under_way = [call["kind"] for call in calls if call["started_at"] <= at < call["finished_at"]]
    if "reflection" in under_way:
        return "reflection"
    later = any(call["kind"] == "iteration" and call["finished_at"] > at for call in calls)
    return "thinking" if later else "end"
