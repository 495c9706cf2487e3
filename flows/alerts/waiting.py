"""A run that waits in a cluster's queue, a host that begins none: when to tell of it."""

from wildloop.blocks.launchers.choice import ASIDE_SECONDS, MOST_FAULTS
from wildloop.blocks.launchers.kubernetes_state import is_of_kubernetes, mend_of
from wildloop.blocks.launchers.slurm_reasons import Outlook, Waiting, waiting
from wildloop.flows.models.alert import CONTINUE, RERUN, STOP, AlertKind, Finding, Severity

# How long a reason may stand before it is told, in seconds. A queue of hours is no news.
PATIENCE = {Outlook.NEVER: 20.0, Outlook.LIMIT: 900.0, Outlook.QUEUE: 6 * 3600.0}


def aside_finding(host: str, fault: str) -> Finding:
    """What to tell of a host on which several runs in a row could not be launched."""
    return Finding(
        kind=AlertKind.HOST_ASIDE,
        severity=Severity.CRITICAL,
        message=f"host '{host}' could launch none of its last {MOST_FAULTS} runs ({fault}): it is "
        f"set aside for {ASIDE_SECONDS / 60:g} minutes if there are others. Mend it; `rerun` "
        "repeats the run.",
        choices=(CONTINUE, RERUN),
        key=f"aside:{host}",
    )


class WaitWatch:
    """Remembers since when a run has been waiting for one reason."""

    def __init__(self) -> None:
        self._reason = ""
        self._since = 0.0

    def see(self, now: float, reason: str) -> Finding | None:
        """What to tell of a run that waits now.

        Args:
            now: seconds of a clock that is never set.
            reason: why it waits, in the cluster's word and perhaps more.
        """
        word = reason.removeprefix("put back into the queue: ")
        if word != self._reason:
            self._reason, self._since = word, now
        mend_there = mend_of(word)
        means = (
            waiting(word) if mend_there is None else Waiting(outlook=Outlook.NEVER, mend=mend_there)
        )
        if now - self._since < PATIENCE[means.outlook]:
            return None
        whose = "Kubernetes'" if is_of_kubernetes(word) else "Slurm's"
        mend = f": {means.mend}" if means.mend else ""
        return Finding(
            kind=AlertKind.WAITING,
            severity=Severity.INFO if means.outlook is Outlook.QUEUE else Severity.WARNING,
            message=f"waits in {whose} queue for '{word}'{mend}",
            choices=(CONTINUE, STOP),
            key=f"waits:{word.split(',')[0][:80]}",
        )
