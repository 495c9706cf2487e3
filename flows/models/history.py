"""What one iteration did, as the API shows it."""

from pydantic import BaseModel, Field

from flows.models.run import Run
from flows.models.session_record import IterationRecord


class Difference(BaseModel):
    """What an iteration changed in the project's files."""

    command: str | None = Field(default=None, description="The git command that shows it.")
    stat: str = ""
    diff: str = ""
    is_cut: bool = Field(default=False, description="Whether the diff was longer than is shown.")
    note: str = Field(default="", description="Why there is no diff.")


class IterationView(BaseModel):
    """Answer of `GET /wild/v2/iterations/{session_id}/{index}`."""

    session_id: str
    index: int
    calls: list[IterationRecord] = Field(description="Its agent calls, with what came of each.")
    log: str = Field(description="Its part of the iteration log.")
    tags: list[str] = Field(description="Git tags of its commits, in their order.")
    difference: Difference
    runs: list[Run]
