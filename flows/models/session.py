"""The session: one goal pursued through planning, iterations, reflections and a report."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from blocks.agents.prices import Usage
from flows.models.body import Body
from flows.models.change import Change
from flows.models.keep import KeepState
from flows.models.run import RunCounts
from flows.models.spending import CallSoFar, Closing, Spending


class SessionStatus(StrEnum):
    """Status words of a session."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_terminal(self) -> bool:
        """True once the session has ended."""
        return self in (SessionStatus.COMPLETED, SessionStatus.FAILED, SessionStatus.STOPPED)


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


class Budget(Body):
    """Upper bounds of a session; None means no bound. At the first the session comes to its end:
    no further run starts, the agent reflects a last time, the report is written.
    """

    hours: float | None = Field(
        default=None,
        gt=0,
        title="Hours",
        description="Wall-clock hours, pauses not counted. An agent's call ends with them.",
    )
    cost_usd: float | None = Field(
        default=None, gt=0, title="Cost (US dollars)", description="What the agent may spend."
    )
    gpu_hours: float | None = Field(
        default=None, gt=0, title="GPU hours", description="Slot-hours of all runs together."
    )
    runs: int | None = Field(
        default=None, ge=1, title="Runs", description="How many runs may be created."
    )


Goal = Annotated[
    str,
    Field(
        min_length=1,
        pattern=r"\S",
        title="Goal",
        description="What the research is to reach, with the metric and its target.",
        examples=["Get validation accuracy above 0.97"],
    ),
]
Workdir = Annotated[
    str,
    Field(
        min_length=1,
        title="Project folder",
        description="A git repository on the worker's host: the code to improve.",
        examples=["/home/me/project"],
    ),
]
AgentName = Annotated[
    str,
    Field(
        min_length=1,
        title="Agent",
        description="`baseline` (built in, no LLM), `claude`, `codex` or `opencode` (with a model: "
        "`claude:<model>`), `openai:<model>@<API URL>`, `command:<shell command>`, or the name of "
        "a saved agent block, as `block-type/name`.",
        examples=["baseline", "claude", "openai:qwen3@http://127.0.0.1:8000/v1"],
    ),
]
MaxIterations = Annotated[
    int,
    Field(
        ge=1, le=10_000, title="Maximum iterations", description="Hard stop, planning not counted."
    ),
]
WaitSeconds = Annotated[
    float,
    Field(
        ge=0.1,
        le=86_400,
        title="Longest wait (seconds)",
        description="After WAITING, the agent is asked again at the latest after this time.",
    ),
]
IterationTimeout = Annotated[
    float,
    Field(
        gt=0,
        title="Iteration time-out (seconds)",
        description="An agent that takes longer is ended and the iteration recorded as failed.",
    ),
]
AutonomyLevel = Annotated[
    Literal["cautious", "balanced", "full"],
    Field(title="Autonomy", description="How much the agent decides without asking."),
]
BranchMode = Annotated[
    Literal["new", "current"],
    Field(
        title="Branch",
        description="`new`: commit on wild/<session>; `current`: on the branch checked out now.",
    ),
]


AwayMinutes = Annotated[
    int,
    Field(
        ge=0,
        title="Away for (minutes)",
        description="How long nobody can be asked; told to the agent. 0: the user is there.",
    ),
]
EvoSweep = Annotated[
    bool,
    Field(title="Evolutionary sweeps", description="Whether the agent may ask for them."),
]
SessionBudget = Annotated[
    Budget, Field(title="Budget", description="Upper bounds; the session ends at the first.")
]
ChatSession = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=200,
        title="Chat session",
        description="Id by which another front end knows the session.",
    ),
]


KeepMode = Annotated[
    Literal["all", "better"],
    Field(
        title="Keep",
        description="`better`: a change stays only if its runs show that it beats the best so far; "
        "else git takes it back. `all`: every change stays.",
    ),
]
KeepAlpha = Annotated[
    float,
    Field(
        gt=0,
        lt=0.5,
        title="Alpha",
        description="With `keep: better`: the probability of taking noise for a gain, for each "
        "iteration.",
    ),
]
Isolation = Annotated[
    Literal["none", "snapshot"],
    Field(
        title="Code isolation",
        description="`snapshot`: a run executes the code as it was when the run was created, in a "
        "git worktree; `none`: in the project's folder, as it is when the run starts.",
    ),
]


class SessionOptions(Body):
    """What a session is to do, wherever its project lies."""

    goal: Goal
    agent: AgentName = "baseline"
    max_iterations: MaxIterations = 25
    wait_seconds: WaitSeconds = 30.0
    iteration_timeout_seconds: IterationTimeout = 3600.0
    autonomy_level: AutonomyLevel = "balanced"
    away_duration_minutes: AwayMinutes = 0
    evo_sweep_enabled: EvoSweep = False
    branch: BranchMode = "new"
    budget: SessionBudget = Field(default_factory=Budget)
    chat_session_id: ChatSession = None
    keep: KeepMode = "all"
    keep_alpha: KeepAlpha = 0.05
    isolation: Isolation = "none"


class SessionSpec(SessionOptions):
    """The parameters of the research loop."""

    workdir: Workdir


class SessionStart(SessionOptions):
    """Body of `POST /wild/v2/start`. `workdir` defaults to the server's --workdir."""

    workdir: str | None = Field(default=None, min_length=1)


def described(name: str) -> Any:
    """The default of a flow parameter, with title and description of a SessionSpec field.

    Prefect builds the form of a deployment from these.
    """
    field = SessionSpec.model_fields[name]
    return Field(
        default=None if name == "budget" else field.default,
        description=field.description,
        json_schema_extra={"title": field.title or name},
    )


class IterationRecord(BaseModel):
    """One agent call of a session and what came of it. Times are Unix seconds."""

    index: int = Field(description="0 for planning, then 1..N; a reflection carries the last.")
    turn: int = Field(default=1, description="2, 3... after each WAITING within one iteration.")
    kind: Literal["planning", "iteration", "reflection"] = "iteration"
    started_at: float
    finished_at: float | None = None
    summary: str = ""
    promise: Literal["DONE", "WAITING"] | None = None
    faults: list[str] = Field(default_factory=list, description="Told to the agent next time.")
    breaches: list[str] = Field(
        default_factory=list, description="Of the faults, those against the rules of the house."
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

    @property
    def label(self) -> str:
        """`planning`, `planning.2`, `iteration-03`, `iteration-03.2`, `reflection-05`."""
        turn = f".{self.turn}" if self.turn > 1 else ""
        if self.kind == "planning":
            return f"planning{turn}"
        return f"{self.kind}-{self.index:02d}{turn}"


class SessionRecord(BaseModel):
    """The durable position of a session, kept as the metadata of its iteration-log artifact."""

    session_id: str
    phase: Phase = Phase.STARTING
    branch: str | None = None
    base_commit: str | None = None
    iterations: list[IterationRecord] = Field(default_factory=list)
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
    started_at: float | None = None
    paused_at: float | None = None
    paused_seconds: float = 0.0
    closing: Closing | None = None
    keep: KeepState = Field(default_factory=KeepState)
    ended_reason: str | None = None
    best_run_id: str | None = None
    report_path: str | None = None

    @property
    def last_index(self) -> int:
        """Number of the last iteration begun (0: only planning, or nothing)."""
        return max((it.index for it in self.iterations), default=0)

    @property
    def planned(self) -> bool:
        """Whether planning is over: a plan with faults is sent back once before it is."""
        calls = [it for it in self.iterations if it.kind == "planning"]
        is_to_be_sent_back = len(self.iterations) == 1 and bool(calls) and bool(calls[0].faults)
        return any(not it.failed for it in calls) and not is_to_be_sent_back

    @property
    def usage(self) -> Usage:
        """Tokens of all calls."""
        return sum((it.usage for it in self.iterations if it.usage), Usage())

    @property
    def cost_usd(self) -> float | None:
        """Cost of all calls; None if no call has told one."""
        costs = [it.cost_usd for it in self.iterations if it.cost_usd is not None]
        return sum(costs) if costs else None

    @property
    def cost_is_estimate(self) -> bool:
        """Whether any part of the cost is by list prices."""
        return any(it.cost_is_estimate for it in self.iterations)


class BestResult(BaseModel):
    """A run's value of the session's primary metric."""

    run_id: str
    run_name: str
    metric: str
    value: float
    direction: Literal["max", "min"] = "max"


class TaskCounts(BaseModel):
    """Tasks by status."""

    total: int = 0
    open: int = 0
    in_progress: int = 0
    done: int = 0
    cancelled: int = 0

    @property
    def closed(self) -> int:
        """Done or cancelled."""
        return self.done + self.cancelled


class PhaseProgress(TaskCounts):
    """Open and closed tasks of one phase of tasks.md."""

    number: int
    title: str

    @property
    def bar(self) -> str:
        """Ten characters, one for each tenth that is closed."""
        tenths = 10 * self.closed // self.total if self.total else 0
        return "#" * tenths + "." * (10 - tenths)


class TaskProgress(TaskCounts):
    """Open and closed tasks of tasks.md."""

    phases: list[PhaseProgress] = Field(default_factory=list)


class Session(BaseModel):
    """A session as the API shows it. Times are Unix seconds."""

    session_id: str
    chat_session_id: str | None = None
    goal: str
    workdir: str
    agent: str
    status: SessionStatus
    phase: Phase
    note: str = Field(default="", description="What it waits for, such as a rate limit.")
    is_active: bool
    iteration: int
    max_iterations: int
    started_at: float | None = None
    finished_at: float | None = None
    error: str | None = None
    branch: str | None = None
    session_dir: str
    runs: RunCounts = Field(default_factory=RunCounts)
    tasks: TaskProgress = Field(default_factory=TaskProgress)
    best: BestResult | None = None
    baseline: BestResult | None = None
    history: list[IterationRecord] = Field(default_factory=list)
    budget: Budget = Field(default_factory=Budget)
    spent: Spending = Field(default_factory=Spending)
    usage: Usage = Field(default_factory=Usage, description="Tokens of all agent calls.")
    report_path: str | None = None
    ui_url: str | None = None
    keep: KeepMode = "all"
    keep_alpha: KeepAlpha = 0.05
    isolation: Isolation = "none"


class SessionActivity(BaseModel):
    """A part of what a session's agent has done, one short line each."""

    session_id: str
    content: str
    offset: int = Field(description="Byte at which `content` begins.")
    next_offset: int = Field(description="Byte to go on from.")
    size: int
    eof: bool = Field(description="The session has ended, and this is all.")


class SessionCommand(Body):
    """Body of `POST /wild/v2/stop|pause|resume`. Without an id: the one active session."""

    chat_session_id: str | None = None
    session_id: str | None = None
    runs: Literal["keep", "stop"] = Field(
        default="keep",
        description="On stop: `keep` lets running runs end and stops only queued and ready ones.",
    )


class SteerCommand(Body):
    """Body of `POST /wild/v2/steer`."""

    context: str = Field(min_length=1, pattern=r"\S", description="What the agent is to know.")
    chat_session_id: str | None = None
    session_id: str | None = None


class SessionEvent(BaseModel):
    """Something a session's agent should know of: a run's end, an alert, a steer."""

    id: str
    type: Literal["run_finished", "run_failed", "run_stopped", "alert", "steer"]
    title: str
    detail: str = ""
    run_id: str | None = None
    created_at: float
    resolved: bool = False


class ResolveEvents(Body):
    """Body of `POST /wild/v2/events/{session_id}/resolve`."""

    event_ids: list[str] = Field(min_length=1)
