"""What one iteration did, as the API shows it."""

from typing import Literal

from pydantic import BaseModel, Field

from wildloop.flows.models.run import Run
from wildloop.flows.models.session_record import IterationRecord


class Difference(BaseModel):
    """What an iteration changed in the project's files."""

    command: str | None = Field(default=None, description="The git command that shows it.")
    stat: str = ""
    diff: str = ""
    is_cut: bool = Field(default=False, description="Whether the diff was longer than is shown.")
    note: str = Field(default="", description="Why there is no diff.")


class FileChange(BaseModel):
    """A changed file."""

    path: str = Field(description="From the top of the repository.")
    change: Literal["added", "modified", "deleted", "other"]
    added: int | None = Field(default=None, description="Lines; None of a binary file.")
    removed: int | None = None


class CurrentDifference(Difference):
    """Answer of `GET /wild/v2/diff/{session_id}`: what the project's files are now, against then.

    What is protected or may hold secrets, and what git ignores, is left out.
    """

    session_id: str = ""
    since: str = Field(default="", description="The commit that it is told against.")
    files: list[FileChange] = Field(default_factory=list)


class IterationView(BaseModel):
    """Answer of `GET /wild/v2/iterations/{session_id}/{index}`."""

    session_id: str
    index: int
    calls: list[IterationRecord] = Field(description="Its agent calls, with what came of each.")
    log: str = Field(description="Its part of the iteration log.")
    tags: list[str] = Field(description="Git tags of its commits, in their order.")
    difference: Difference
    runs: list[Run]
