"""The session's own position while its agent is called beside the researchers."""

from pathlib import Path
from uuid import UUID

from wildloop.flows.files.paths import SessionPaths, desk_folder
from wildloop.flows.models.run import Run
from wildloop.flows.session.desk import doing_of
from wildloop.flows.session.own_plan import OwnPlan
from wildloop.flows.session.position import Position
from wildloop.flows.store import artifacts

GO_ON = (
    "The researchers go on meanwhile, with tasks behind the gate: what is changed in the plan now "
    "holds for what they take up next. They are at:\n"
)


def reflection_folder(lead: Position) -> Path:
    """Where the plan lies that is the reflecting agent's own."""
    return desk_folder(lead.workdir, lead.id, 0)


class BesidePosition(Position):
    """The session's position, its record itself, with a plan of its own.

    Args:
        lead: the session's.
    """

    def __init__(self, lead: Position) -> None:
        super().__init__(client=lead.client, spec=lead.spec, record=lead.record, known=lead.known)
        self.lead = lead
        self.own_plan = OwnPlan(lead, self.paths.tasks, reflection_folder(lead) / "before.md")

    @property
    def paths(self) -> SessionPaths:
        """The session's files, but a plan of its own."""
        lead = self.lead.paths
        return SessionPaths(lead.root, lead.workdir, reflection_folder(self.lead) / "tasks.md")

    @property
    def tables(self) -> artifacts.Tables:
        """The tables on the session's page."""
        return self.lead.tables

    @property
    def beside(self) -> str:
        """What the researchers are at."""
        doing = "".join(f"- {doing_of(one)}\n" for one in self.record.desks)
        return f"{GO_ON}\n{doing}"

    def owns(self, run: Run) -> bool:
        """Whether a run is neither a researcher's nor one of merged code."""
        return run.researcher is None and run.parent_run_id is None

    async def save(self) -> None:
        """Write the session's record."""
        await self.lead.save()

    async def save_plan(self, flow_run_id: UUID | None = None) -> None:
        """Take over into the session's plan what was changed of its own."""
        self.own_plan.hand_in(self.plan_text())
        await self.lead.save_plan(flow_run_id)
