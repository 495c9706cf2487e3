"""A session's durable record: its agent calls, where it stands, and the sums over its calls."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, TypeVar

from pydantic import BaseModel, Field

from wildloop.blocks.agents.prices import Usage
from wildloop.flows.models.change import Change
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.evidence import Shown
from wildloop.flows.models.keep import KeepState, Merge, Verdict
from wildloop.flows.models.sealed import SealedReport
from wildloop.flows.models.spending import CallSoFar, Closing
from wildloop.flows.models.wake import Wake

T = TypeVar("T")
BREACH_LENGTH = 300


class Phase(StrEnum):
    """What a session is doing."""

    STARTING = "starting"
    PREFLIGHT = "preflight"
    PLANNING = "planning"
    ITERATION = "iteration"
    WAITING = "waiting"
    REFLECTION = "reflection"
    REPORT = "report"
    ENDED = "ended"


class IterationRecord(BaseModel):
    """One agent call of a session and what came of it. Times are Unix seconds."""

    index: int = Field(description="0 for planning, then 1..N; a reflection carries the last.")
    turn: int = Field(default=1, description="2, 3... after each WAITING within one iteration.")
    kind: Literal["planning", "iteration", "reflection"] = "iteration"
    started_at: float
    finished_at: float | None = None
    summary: str = ""
    promise: Literal["DONE", "WAITING"] | None = None
    wake: Wake | None = Field(default=None, description="Of its WAITING, where it says so.")
    faults: list[str] = Field(default_factory=list, description="Told to the agent next time.")
    breaches: list[str] = Field(
        default_factory=list, description="Of the faults, those against the rules of the house."
    )
    troubles: list[str] = Field(
        default_factory=list,
        description="Told to the agent and the user; nobody's fault, so they count nowhere.",
    )
    failed: bool = Field(default=False, description="Counts towards three failures in a row.")
    error: str | None = None
    exit_reason: str = ""
    run_ids: list[str] = Field(default_factory=list, description="Runs created meanwhile.")
    files_changed: int = 0
    commit: str | None = None
    flags: list[str] = Field(
        default_factory=list, description="Edits of seeds, evaluation or data in its commit."
    )
    tasks_closed: int = Field(default=0, description="Tasks done or cancelled meanwhile.")
    run_errors: list[str] = Field(
        default_factory=list, description="Why runs failed since the call before, each cause once."
    )
    active_runs: int = Field(default=0, description="Runs that waited or ran at its end.")
    change: Change | None = Field(default=None, description="What its agent says it changed.")
    taken_back_at: float | None = Field(
        default=None, description="When keep or discard took its change back."
    )
    signs: list[str] = Field(
        default_factory=list, description="Signs of struggle at its end that count."
    )
    tag: str | None = Field(default=None, description="Git tag of its commit.")
    why: str = Field(default="", description="What led to a reflection.")
    reflection: str = Field(default="", description="A reflection's reasons.")
    continue_session: bool | None = Field(default=None, description="A reflection's decision.")
    prompt_tokens: dict[str, int] = Field(
        default_factory=dict, description="About how many its prompt had, by part."
    )
    prompt_characters: int = Field(default=0, description="Length of its prompt.")
    prompt_repeated: float | None = Field(
        default=None, description="Share of it that stood at the head of the one before."
    )
    told_runs: list[str] | None = Field(
        default=None, description="Ended runs that its prompt told of; None where not known."
    )
    steered: list[str] = Field(default_factory=list)
    usage: Usage | None = Field(default=None, description="Tokens, where the agent tells them.")
    cost_usd: float | None = None
    cost_is_estimate: bool = Field(default=False, description="By list prices.")
    num_turns: int | None = Field(default=None, description="Answers of the model.")
    held_seconds: float = Field(
        default=0.0, description="Waited before it for a rate limit or the network."
    )
    transcript: str | None = None
    events: str | None = Field(default=None, description="File of the agent's events, JSON Lines.")
    flow_run_id: str | None = None
    researcher: int | None = Field(
        default=None, description="Whose call it is, where several work at a time."
    )

    @property
    def label(self) -> str:
        """`planning`, `planning.2`, `iteration-03`, `iteration-03.2`, `reflection-05`."""
        turn = f".{self.turn}" if self.turn > 1 else ""
        if self.kind == "planning":
            return f"planning{turn}"
        return f"{self.kind}-{self.index:02d}{turn}"


class UserCheckout(BaseModel):
    """What the user had checked out before a session."""

    branch: str | None = Field(description="None where HEAD was detached.")
    commit: str
    files: str = Field(description="Commit of the files as they lay there, changes too.")
    index: str = Field(description="Tree of what was staged.")


class Desk(BaseModel):
    """Where one of several researchers of a session stands. Its calls are among the session's."""

    number: int
    branch: str
    workdir: str = Field(description="The project in the researcher's worktree.")
    onto: str = Field(description="Commit of the session's branch that its code begins at.")
    task: str | None = Field(default=None, description="What it has claimed of the plan.")
    index: int | None = Field(default=None, description="Number of its iteration.")
    keep: KeepState = Field(
        default_factory=KeepState, description="What its change is compared with; no verdicts."
    )
    merging: list[Merge] = Field(
        default_factory=list, description="Its changes whose merged code is to be run yet."
    )
    told_steers: list[str] = Field(default_factory=list, description="Keys it has heard of.")
    tip: str | None = None
    awaiting_turn: bool = False
    done: bool = False
    pending_runs: list[str] = Field(default_factory=list)
    in_progress: str | None = None
    attempt: int = 1
    call: CallSoFar | None = None
    woken: str = ""
    hook_said: str = ""
    long_waits: int = 0
    phase: Phase = Phase.STARTING


class Totals(BaseModel):
    """Sums over the calls of a session: what is shown of it in a list needs no call itself."""

    calls: int = Field(default=0, description="How many are recorded.")
    verdicts: int = Field(default=0, description="How many decisions of keep or discard are.")
    last_index: int = Field(default=0, description="Number of the last iteration begun.")
    began_at: float | None = Field(default=None, description="When the first call began.")
    usage: Usage = Field(default_factory=Usage)
    cost_usd: float | None = Field(default=None, description="None if no call has told one.")
    cost_is_estimate: bool = Field(default=False, description="Any part of it is by list prices.")
    breaches: int = 0
    last_breach: str = ""

    def plus(self, *calls: IterationRecord) -> "Totals":
        """The sums with further calls."""
        sums = self.model_copy()
        for call in calls:
            sums.calls += 1
            sums.last_index = max(sums.last_index, call.index)
            sums.began_at = call.started_at if sums.began_at is None else sums.began_at
            if call.usage is not None:
                sums.usage += call.usage
            if call.cost_usd is not None:
                sums.cost_usd = (sums.cost_usd or 0.0) + call.cost_usd
            sums.cost_is_estimate = sums.cost_is_estimate or call.cost_is_estimate
            if call.breaches:
                sums.breaches += len(call.breaches)
                sums.last_breach = f"{call.label}: {call.breaches[-1]}"[:BREACH_LENGTH]
        return sums


class Standing(BaseModel):
    """Where a session stands, without its calls and decisions: small, however long it lasts."""

    session_id: str
    phase: Phase = Phase.STARTING
    branch: str | None = None
    base_commit: str | None = None
    tip: str | None = Field(default=None, description="The latest commit known on its branch.")
    before: UserCheckout | None = Field(default=None, description="Given back at the end.")
    awaiting_turn: bool = Field(default=False, description="The last reply was WAITING.")
    done: bool = Field(default=False, description="A believed DONE; reflection comes next.")
    pending_runs: list[str] = Field(
        default_factory=list, description="Runs of an <experiments> block that are waited for."
    )
    reflected_gates: list[str] = Field(default_factory=list)
    in_progress: str | None = Field(default=None, description="Label of the call under way.")
    attempt: int = Field(default=1, description="Of the call under way, after interruptions.")
    call: CallSoFar | None = None
    note: str = Field(default="", description="What the session waits for, for people.")
    woken: str = Field(default="", description="Why the agent is called again, for its prompt.")
    hook_said: str = Field(default="", description="What a hook has said, for the next prompt.")
    long_waits: int = Field(default=0, description="Waits in a row that ended without news.")
    started_at: float | None = None
    paused_at: float | None = None
    paused_seconds: float = 0.0
    closing: Closing | None = None
    contract: SessionContract | None = Field(
        default=None, description="What it compares by, once that is fixed."
    )
    confirm_seeds: list[int] = Field(
        default_factory=list, description="Those that Wildloop itself runs candidates on."
    )
    further_seeds: list[int] = Field(
        default_factory=list, description="Those of the runs at the end that decide nothing."
    )
    keep: KeepState = Field(default_factory=KeepState)
    sealed: SealedReport | None = Field(
        default=None, description="What the hold-out has said, once the session is over."
    )
    ended_reason: str | None = None
    asked_usd: float = Field(default=0.0, description="What answers to people have cost.")
    best_run_id: str | None = None
    shown: Shown | None = Field(default=None, description="By its runs, at the last call's end.")
    report_path: str | None = None
    desks: list[Desk] = Field(
        default_factory=list, description="Its researchers, where several work at a time."
    )

    def pause_clock(self, now: float) -> None:
        """Time from now on does not count for the budget of hours."""
        if self.paused_at is None:
            self.paused_at = now

    def go_on_clock(self, now: float) -> None:
        """Time counts again."""
        if self.paused_at is not None:
            self.paused_seconds += max(0.0, now - self.paused_at)
            self.paused_at = None


class SessionSummary(Standing):
    """What is written at each step: where the session stands and the sums over its calls.

    It has none of the calls, and of `keep` no verdict.
    """

    totals: Totals = Field(default_factory=Totals)


class SessionRecord(Standing):
    """The whole record of a session, as its own flow has it."""

    iterations: list[IterationRecord] = Field(default_factory=list)

    @property
    def totals(self) -> Totals:
        """The sums over all calls."""
        return Totals(verdicts=len(self.keep.verdicts)).plus(*self.iterations)

    @property
    def last_index(self) -> int:
        """Number of the last iteration begun (0: only planning, or nothing)."""
        return max((it.index for it in self.iterations), default=0)

    def goes_on(self, max_calls: int) -> bool:
        """Whether the next call belongs to the last iteration, as after WAITING.

        Args:
            max_calls: of one iteration that create runs; beyond them a new one begins.
        """
        last = self.last_index
        creating = sum(
            1
            for it in self.iterations
            if it.kind == "iteration" and it.index == last and it.run_ids
        )
        return self.awaiting_turn and creating < max_calls

    @property
    def planned(self) -> bool:
        """Whether planning is over: a plan with faults is sent back once before it is."""
        calls = [it for it in self.iterations if it.kind == "planning"]
        is_to_be_sent_back = len(self.iterations) == 1 and bool(calls) and bool(calls[0].faults)
        return any(not it.failed for it in calls) and not is_to_be_sent_back

    def summary(self, totals: Totals) -> SessionSummary:
        """What is written of it at each step; `totals` are the sums over its calls."""
        fields = {name: getattr(self, name) for name in Standing.model_fields}
        fields["keep"] = self.keep.model_copy(update={"verdicts": []})
        fields["desks"] = [
            one.model_copy(update={"keep": one.keep.model_copy(update={"verdicts": []})})
            for one in self.desks
        ]
        return SessionSummary.model_construct(**fields, totals=totals).model_copy(deep=True)


class LogEntry(BaseModel):
    """A version of the session's log: a call or a decision, as it is from then on."""

    number: int = Field(description="Its place among the calls, or among the decisions, from 0.")
    call: IterationRecord | None = None
    verdict: Verdict | None = None

    @property
    def document(self) -> str:
        """As it is stored."""
        return self.model_dump_json(exclude_defaults=True)


def whole_record(summary: SessionSummary, entries: Iterable[LogEntry]) -> SessionRecord:
    """The record from what is written of it.

    Args:
        summary: read first: it says how many calls and decisions there are. An entry beyond them
            is of a step that did not come to its end.
        entries: in the order in which they were written; of two for one place the later holds.
    """
    calls: dict[int, IterationRecord] = {}
    verdicts: dict[int, Verdict] = {}
    for entry in entries:
        if entry.call is not None and entry.number < summary.totals.calls:
            calls[entry.number] = entry.call
        if entry.verdict is not None and entry.number < summary.totals.verdicts:
            verdicts[entry.number] = entry.verdict
    fields = {name: getattr(summary, name) for name in Standing.model_fields}
    fields["keep"] = summary.keep.model_copy(update={"verdicts": _in_order(verdicts)})
    return SessionRecord.model_construct(**fields, iterations=_in_order(calls))


def _in_order(found: dict[int, T]) -> list[T]:
    return [found[number] for number in sorted(found)]
