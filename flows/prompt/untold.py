"""Which ended runs no prompt has told of yet."""

from collections.abc import Sequence

from wildloop.flows.models.run import Run
from wildloop.flows.models.session_record import IterationRecord


def untold(records: Sequence[IterationRecord], runs: Sequence[Run]) -> list[Run]:
    """The ended runs that none of these calls' prompts has told of, in the order of `runs`.

    By what was told, not by the clock: a run that ends while a prompt is made, or whose end is
    known only later, is told by the next. Where it is not known what the last call's prompt told
    (an old record, a call taken up after a restart), it is taken to have told all that had ended
    when the call began. A call that failed has heard nothing.
    """
    heard = [call for call in records if not call.failed]
    told = {id for call in heard for id in call.told_runs or ()}
    assumed = max((call.started_at for call in heard if call.told_runs is None), default=0.0)
    return [
        run
        for run in runs
        if run.status.is_terminal and run.id not in told and (run.finished_at or 0) >= assumed
    ]
