"""Where one of several researchers of a session stands: a place of its own in the one record.

Its calls and decisions are the session's, and are saved with it. What is its own is a `Desk` of
that record: branch and worktree, the claimed task, the call under way, what it is compared with.
"""

from pathlib import Path
from uuid import UUID

from wildloop.flows.files.paths import SessionPaths, desk_folder
from wildloop.flows.models.keep import Verdict
from wildloop.flows.models.researcher_name import called
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_record import (
    Desk,
    IterationRecord,
    Phase,
    SessionRecord,
)
from wildloop.flows.session.own_plan import OwnPlan
from wildloop.flows.session.position import Position
from wildloop.flows.store import artifacts

STANDING = (
    "branch",
    "tip",
    "awaiting_turn",
    "done",
    "pending_runs",
    "in_progress",
    "attempt",
    "call",
    "woken",
    "hook_said",
    "long_waits",
    "phase",
)
"""What a record and a desk both have."""
SHARED = (
    "base_commit",
    "started_at",
    "paused_at",
    "paused_seconds",
    "closing",
    "contract",
    "confirm_seeds",
    "further_seeds",
    "reflected_gates",
    "shown",
)
"""What is the session's: read before each step, and changed by the lead alone."""
SHOWN = 120


class DeskPosition(Position):
    """The position of one researcher.

    Args:
        lead: the session's.
        desk: what it has of this researcher.
    """

    def __init__(self, lead: Position, desk: Desk) -> None:
        record = SessionRecord(session_id=lead.id)
        for name in STANDING:
            setattr(record, name, getattr(desk, name))
        record.iterations = [it for it in lead.record.iterations if it.researcher == desk.number]
        spec = lead.spec.model_copy(update={"workdir": desk.workdir, "isolation": "snapshot"})
        super().__init__(client=lead.client, spec=spec, record=record)
        self.lead, self.desk = lead, desk
        folder = desk_folder(lead.workdir, lead.id, desk.number)
        self._own_plan = OwnPlan(lead, self.paths.tasks, folder.with_name(f"{folder.name}.md"))
        self._ended = list[IterationRecord]()
        self.refresh()

    def refresh(self) -> None:
        """Take from the session what is for all."""
        lead = self.lead.record
        for name in SHARED:
            setattr(self.record, name, getattr(lead, name))
        keep = self.desk.keep
        if lead.keep.begun != keep.begun or lead.keep.best is None:
            # The user has begun a new comparison, or there is none yet.
            keep.best = keep.baseline = None
        keep.begun, keep.verdicts = lead.keep.begun, lead.keep.verdicts
        if keep.best is None:
            # Somebody else has made the first measurement.
            keep.best, keep.baseline = lead.keep.best, lead.keep.baseline
        self.record.keep = keep

    def begin_at(self, commit: str) -> None:
        """Its code is the session's of this commit from now on, and what it is compared with."""
        self.desk.onto = commit
        unknown = {"base": None, "base_iteration": None}
        self.desk.keep = self.lead.record.keep.model_copy(update=unknown)
        self.refresh()

    @property
    def whole(self) -> SessionRecord:
        """The session's record."""
        return self.lead.record

    @property
    def told(self) -> SessionRecord:
        """Its own standing with the calls of all."""
        calls = [*self.lead.record.iterations, *self._ended]
        return self.record.model_copy(update={"iterations": calls})

    @property
    def main(self) -> Path:
        """The folder that holds the session's branch."""
        return self.lead.workdir

    @property
    def called(self) -> str:
        """By what name its runs are made."""
        return called(self.id, self.desk.number)

    @property
    def researcher(self) -> int | None:
        """Its number."""
        return self.desk.number

    @property
    def task(self) -> str | None:
        """What it has claimed."""
        return self.desk.task

    @property
    def beside(self) -> str:
        """What the others are at."""
        others = [one for one in self.lead.record.desks if one.number != self.desk.number]
        return told_of(self.desk, others, self.lead.record.iterations)

    @property
    def own_verdicts(self) -> list[Verdict]:
        """The decisions about its changes."""
        own = {call.index for call in self.record.iterations}
        return [one for one in self.lead.record.keep.verdicts if one.iteration in own]

    @property
    def merging(self) -> set[int]:
        """The iterations that are to be kept once their merged code was run."""
        return {one.verdict.iteration for one in self.desk.merging}

    def has_gone_on(self, iteration: int) -> bool:
        """Whether its worktree holds the code of something later by now."""
        return self.desk.index != iteration

    def owns(self, run: Run) -> bool:
        """Whether it has made a run."""
        return run.researcher == self.desk.number

    def next_index(self) -> int:
        """Number of the iteration that it has begun, which nobody else has."""
        assert self.desk.index is not None, "an iteration begins with a claim"
        return self.desk.index

    def add_call(self, call: IterationRecord) -> None:
        """Note a call, here; in the session with what else has become of this desk."""
        call.researcher = self.desk.number
        self.record.iterations.append(call)
        self._ended.append(call)

    @property
    def paths(self) -> SessionPaths:
        """The session's files, but a plan of its own."""
        own = SessionPaths.of(self.spec.workdir, self.id)
        lead = self.lead.paths
        return SessionPaths(lead.root, lead.workdir, own.root / "tasks.md")

    @property
    def flow_run_id(self) -> UUID:
        """The session's flow run."""
        return self.lead.flow_run_id

    @property
    def tables(self) -> artifacts.Tables:
        """The tables on the session's page."""
        return self.lead.tables

    async def enter(self, phase: Phase) -> None:
        """Note what it is doing now."""
        if self.record.phase is not phase:
            self.record.phase = phase
            await self.save()

    def hand_in(self) -> None:
        """Have the session's record know what has become of this desk.

        All at once: another's save in between would have a call as ended and as under way.
        """
        for name in STANDING:
            setattr(self.desk, name, getattr(self.record, name))
        self.lead.record.iterations += self._ended
        self._ended.clear()

    async def save(self) -> None:
        """Write the session's record with what has become of this desk."""
        self.hand_in()
        desks = self.lead.record.desks
        reflects = [told] if (told := self.lead.record.in_progress) is not None else []
        self.lead.record.note = "; ".join([*reflects, *map(doing_of, desks)])
        at_work = any(one.phase is Phase.ITERATION for one in desks)
        self.lead.record.phase = Phase.ITERATION if at_work else Phase.WAITING
        await self.lead.save()

    async def save_plan(self, flow_run_id: UUID | None = None) -> None:
        """Take over into the session's plan what this researcher has changed of its own."""
        self._own_plan.hand_in(self.plan_text())
        await self.lead.save_plan(flow_run_id)

    def take_plan(self) -> None:
        """Have the session's plan as it is now."""
        self._own_plan.take()


def doing_of(desk: Desk) -> str:
    """What a researcher does, for people: `researcher 2: iteration-04, P1-T3`."""
    if desk.in_progress is not None:
        what = ", ".join(filter(None, [desk.in_progress, desk.task]))
    elif desk.awaiting_turn or desk.pending_runs or desk.task is not None:
        what = f"waits for its runs ({desk.task})" if desk.task else "waits"
    else:
        what = "is free"
    merges = ", ".join(one.verdict.label for one in desk.merging)
    return f"researcher {desk.number}: {what}" + (f"; to be merged: {merges}" if merges else "")


def told_of(own: Desk, others: list[Desk], calls: list[IterationRecord]) -> str:
    """Who else works on the session, for the prompt of one researcher."""
    if not others:
        return ""
    lines = [
        f"You are researcher {own.number} of {len(others) + 1}, each in a worktree and on a branch "
        "of its own; what is kept is merged onto the session's branch by Wildloop, one change at a "
        "time. Do this task and no other; the table of what was tried holds the runs of all. "
        "At the moment:"
    ]
    for one in others:
        last = next((it for it in reversed(calls) if it.researcher == one.number), None)
        said = f"; its last call: {last.summary[:SHOWN]}" if last and last.summary else ""
        lines.append(f"- {doing_of(one)}{said}")
    for merge in own.merging:
        lines.append(
            f"Your change of {merge.verdict.label} is to be kept, and waits to be run with what "
            "the others have changed: until then your files are without it; do not make it again."
        )
    return "\n".join(lines)
