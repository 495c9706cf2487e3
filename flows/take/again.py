"""Whether the best's command, run on the new branch, gives the best's value."""

from wildloop.flows.evidence.estimate import are_equal
from wildloop.flows.models.take import BestToRun, RanAgain


def judged(best: BestToRun, run_id: str, commit: str, metric: str, value: float | None) -> RanAgain:
    """What a run of the best's command on a commit says: the same seed, code that may be other.

    Args:
        best: what it is compared with: the run of the night, and the 95 % interval of all that
            count.
        run_id: of the new run.
        commit: what it ran.
        metric: the primary one.
        value: what it gave; None for no value.
    """
    found = best.estimate
    said = f"the best's command on the last commit ({commit[:12]}, run {run_id})"
    night = f"the night's own run gave {best.value:.6g}, {found.text}"
    is_within = False
    if value is None:
        text = f"{said} gave no {metric}; {night}"
    elif are_equal([value, best.value]):
        is_within, text = True, f"{said} gave {metric} {value:.6g}, as in the night ({found.text})"
    elif found.low is None or found.high is None or not found.sd:
        text = f"{said} gave {metric} {value:.6g}; {night}, which has no spread to compare it by"
    else:
        is_within = found.low <= value <= found.high
        word = "within" if is_within else "not within"
        bounds = f"95 % interval {found.low:.4g} to {found.high:.4g}"
        text = f"{said} gave {metric} {value:.6g}, {word} the best's {bounds}; {night}"
    return RanAgain(run_id=run_id, value=value, expected=found, is_within=is_within, text=text)
