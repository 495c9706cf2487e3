"""Signs that the agent is struggling, put into its next prompt."""

from collections.abc import Sequence

from flows.models.session import IterationRecord

WINDOW = 3
SHORT_SECONDS = 30.0
STALL_RUNS = 5


def struggle_signs(
    iterations: Sequence[IterationRecord],
    metric_history: Sequence[float],
    direction: str,
    k: int = STALL_RUNS,
) -> list[str]:
    """The signs, as sentences for the agent; empty when all is well.

    Args:
        iterations: the session's records; planning and reflections do not count.
        metric_history: primary metric of the finished runs, in their order.
        direction: `max` or `min`.
        k: number of finished runs without improvement that make a plateau.
    """
    done = [it for it in iterations if it.kind == "iteration"]
    recent = done[-WINDOW:]
    signs = []
    if len(recent) == WINDOW and all(it.files_changed == 0 and not it.run_ids for it in recent):
        signs.append(f"No file has changed and no run was created in {WINDOW} iterations.")
    if len(recent) == WINDOW and all(_is_short(it) for it in recent):
        signs.append(f"The last {WINDOW} iterations took under {SHORT_SECONDS:g} s each.")
    errors = [it.error for it in recent if it.error]
    repeated = next((error for error in errors if errors.count(error) > 1), None)
    if repeated:
        signs.append(f"The same error came twice in the last {WINDOW} iterations: {repeated[:300]}")
    if stalled := plateau(metric_history, direction, k):
        signs.append(stalled)
    if done and done[-1].exit_reason not in ("", "finished"):
        signs.append(f"The last call of the agent did not end well: {done[-1].exit_reason}.")
    return signs


def plateau(history: Sequence[float], direction: str, k: int) -> str | None:
    """A sentence if the last `k` values are no better than the best before them."""
    if len(history) <= k:
        return None
    pick = max if direction == "max" else min
    before, last = pick(history[:-k]), pick(history[-k:])
    better = last > before if direction == "max" else last < before
    if better:
        return None
    return (
        f"The primary metric has not improved in the last {k} finished runs "
        f"(best before: {before:.6g}, best since: {last:.6g})."
    )


def _is_short(iteration: IterationRecord) -> bool:
    if iteration.promise == "WAITING" or iteration.finished_at is None:
        return False
    return iteration.finished_at - iteration.started_at < SHORT_SECONDS
