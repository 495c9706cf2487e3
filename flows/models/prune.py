"""What `wildloop prune` takes away: found first, and told, before anything is done."""

from uuid import UUID

from pydantic import BaseModel, Field


class PruneFolder(BaseModel):
    """A folder of a run or session on this machine."""

    path: str
    size: int = Field(description="Bytes on disk.")


class PrunePlan(BaseModel):
    """What is older than asked for and needed by nothing that stays. Times are Unix seconds."""

    before: float = Field(description="What ended before it is meant.")
    sessions: list[UUID] = Field(default_factory=list)
    runs: list[UUID] = Field(default_factory=list)
    steps: list[UUID] = Field(default_factory=list, description="Flow runs of sessions' calls.")
    artifacts: list[UUID] = Field(default_factory=list)
    artifact_bytes: int = Field(default=0, description="Length of the artifacts' texts.")
    logs: int = Field(default=0, description="Log lines of the flow runs.")
    log_bytes: int = Field(default=0, description="Length of their messages.")
    folders: list[PruneFolder] = Field(default_factory=list)
    left: list[str] = Field(
        default_factory=list, description="What stays though it is old, and why."
    )

    @property
    def folder_bytes(self) -> int:
        """Bytes on disk that the folders take."""
        return sum(folder.size for folder in self.folders)

    @property
    def flow_runs(self) -> list[UUID]:
        """All flow runs, the sessions last: what is cut off is found again by them."""
        return [*self.runs, *self.steps, *self.sessions]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take away."""
        return not (self.flow_runs or self.artifacts or self.folders)
