"""Runs that Wildloop makes itself for a session: no agent's token reaches them.

They belong to an id of their own beside the session's, so that they are in none of its lists and
budgets, and an agent may neither create, stop nor write into them.
"""

from enum import StrEnum

from wildloop.flows.models.run import Run


class OwnRuns(StrEnum):
    """What Wildloop makes runs for."""

    CONFIRM = "confirm"
    FURTHER = "further"
    EVALUATE = "evaluate"


def own_id(session_id: str, purpose: OwnRuns) -> str:
    """The id that Wildloop's own runs for a session belong to."""
    return f"{session_id}:{purpose.value}"


def session_behind(id: str) -> str:
    """The session that a run belongs to, or was made for."""
    return id.partition(":")[0]


def is_own(run: Run) -> bool:
    """Whether Wildloop has made this run itself, for whatever."""
    return any(is_made_for(run, purpose) for purpose in OwnRuns)


def is_made_for(run: Run, purpose: OwnRuns) -> bool:
    """Whether Wildloop has made this run itself, for this."""
    return (run.chat_session_id or "").endswith(f":{purpose.value}")


def is_confirmation(run: Run) -> bool:
    """Whether Wildloop has made this run to confirm a configuration."""
    return is_made_for(run, OwnRuns.CONFIRM)


def is_further(run: Run) -> bool:
    """Whether it has decided nothing: made for a gain that was shown already."""
    return is_made_for(run, OwnRuns.FURTHER)


def is_evaluation(run: Run) -> bool:
    """Whether Wildloop has made this run to evaluate the outputs of another, its parent."""
    return is_made_for(run, OwnRuns.EVALUATE)
