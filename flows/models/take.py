"""What of a session is taken home: its ideas with commits and numbers, as the account has them."""

from pydantic import BaseModel, Field

from wildloop.flows.models.evidence import Direction, Estimate, Level
from wildloop.flows.models.session import SessionStatus


class Idea(BaseModel):
    """One iteration's change, and what was said of it."""

    iteration: int
    label: str = Field(description="As `iteration-03`.")
    title: str = Field(description="One line, without the number of its task.")
    summary: str = ""
    status: str = Field(description="As the ledger has it; `not judged` without keep or discard.")
    why: str = Field(default="", description="The decision in the account's words.")
    metric: str | None = None
    before: str | None = Field(default=None, description="The best before: `0.80 ± 0.01 (n=3)`.")
    after: str | None = Field(default=None, description="Its own, when it was decided upon.")
    now: str | None = Field(
        default=None, description="Its own as the account has it now, where that is another."
    )
    p: float | None = None
    level: Level | None = None
    configuration: str = ""
    run_ids: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    base: str | None = Field(default=None, description="The commit that it began at.")
    commit: str | None = Field(default=None, description="Its last commit.")
    tag: str | None = None
    at: float | None = Field(default=None, description="When it was decided upon, Unix seconds.")


class BestToRun(BaseModel):
    """The best, and the one of its runs that is nearest to its mean."""

    run_id: str
    run_name: str
    command: str
    value: float = Field(description="Of that run.")
    estimate: Estimate
    configuration: str
    level: Level


class NightView(BaseModel):
    """Answer of `GET /wild/v2/kept/{session_id}`: what was kept, in order; the rest."""

    session_id: str
    goal: str
    workdir: str
    status: SessionStatus
    is_active: bool
    keep: str
    metric: str | None = None
    direction: Direction = "max"
    headline: str = ""
    branch: str | None = Field(description="The night's own.")
    is_own_branch: bool = Field(description="False: it has worked on the user's branch.")
    base_branch: str | None = Field(
        description="The user's when it began; None where HEAD was detached."
    )
    base_commit: str | None = None
    found: str | None = Field(
        default=None, description="Commit of the user's files as they lay there, where changed."
    )
    ideas: list[Idea] = Field(default_factory=list, description="What was kept.")
    others: list[Idea] = Field(default_factory=list, description="What was not.")
    left_in: list[str] = Field(
        default_factory=list,
        description="Labels of what was not kept and could not be taken back.",
    )
    best: BestToRun | None = None
    run_ids: list[str] = Field(default_factory=list, description="Of the best.")


class ConflictedFile(BaseModel):
    """A file in which an idea and the target do not go together."""

    path: str
    how: str
    commits: list[str] = Field(
        default_factory=list, description="Of the target since the night began that touch it."
    )


class TakenCommit(BaseModel):
    """A commit of the new branch."""

    commit: str
    title: str
    idea: Idea | None = Field(default=None, description="None: changes that no idea made.")


class Refused(BaseModel):
    """What did not go onto the branch: a conflict, a check or hook that fails."""

    label: str
    title: str
    is_idea: bool
    kind: str = Field(description="`conflict`, `check` or `hook`.")
    said: str = Field(default="", description="What the check or hook has said.")
    files: list[ConflictedFile] = Field(default_factory=list)
    by_hand: str = Field(default="", description="A command that brings it onto the branch.")


class RanAgain(BaseModel):
    """The best's command run on the last commit."""

    run_id: str
    value: float | None
    expected: Estimate
    is_within: bool
    text: str


class NotNeeded(BaseModel):
    """A kept idea that needs no commit, and why."""

    label: str
    title: str
    why: str


class Taken(BaseModel):
    """What `wildloop take` has made."""

    session_id: str
    branch: str | None = Field(description="None: nothing of it went onto the target.")
    tip: str | None = None
    onto: str
    onto_commit: str
    commits: list[TakenCommit] = Field(default_factory=list)
    refused: list[Refused] = Field(default_factory=list)
    not_tried: list[str] = Field(
        default_factory=list, description="Labels of the ideas after the one where it stopped."
    )
    not_needed: list[NotNeeded] = Field(default_factory=list)
    checks: list[str] = Field(default_factory=list, description="Run on each commit.")
    notes: list[str] = Field(default_factory=list)
    pull_request: str | None = Field(default=None, description="File with its title and text.")
    ran: RanAgain | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every kept idea is on the branch, or needs no commit."""
        return not self.not_tried and not any(one.is_idea for one in self.refused)
