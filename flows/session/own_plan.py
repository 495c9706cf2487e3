"""A plan of one's own: what it changes comes into the session's line by line, as others' does."""

from dataclasses import dataclass
from pathlib import Path

from wildloop.flows.protocol.plan_merge import merged_plan
from wildloop.flows.session.position import Position


@dataclass(frozen=True)
class OwnPlan:
    """The plan as one of several agents has it while it works.

    Args:
        lead: the session's position, with the plan of all.
        tasks: where its own lies.
        before: where that is kept as it was taken over.
    """

    lead: Position
    tasks: Path
    before: Path

    def take(self) -> None:
        """Have the session's plan as it is now."""
        text = self.lead.plan_text()
        for path in (self.tasks, self.before):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def hand_in(self, mine: str) -> None:
        """Take over into the session's plan what was changed here: `mine` is its text by now."""
        theirs = self.lead.plan_text()
        text = merged_plan(self._as_taken(), mine, theirs)
        if text != theirs:
            self.lead.paths.tasks.write_text(text, encoding="utf-8")
        self.take()

    def _as_taken(self) -> str:
        try:
            return self.before.read_text(encoding="utf-8")
        except FileNotFoundError:
            return self.lead.plan_text()
