"""The project's own checks of a change that won: tests, types, lint, before it is kept."""

from pathlib import Path

from wildloop.flows.keep.decide import Decision
from wildloop.flows.keep.held import has_won, refused
from wildloop.flows.project import ProjectConfig
from wildloop.flows.run.project_checks import failed_check


async def checked(decision: Decision, project: ProjectConfig | None, workdir: Path) -> Decision:
    """The decision; a discard where what won fails a check of the project."""
    if project is None or not has_won(decision):
        return decision
    said = await failed_check(project.checks, workdir)
    return decision if said is None else refused(decision, f"a check of the project: {said}")
