"""What a session is asked to do: goal, agent, bounds and ways of working."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from flows.models.body import Body


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

    @classmethod
    def of_parameters(cls, parameters: Mapping[str, Any]) -> "SessionSpec":
        """The session that these parameters of a flow run describe; None means the default.

        Raises:
            ValidationError: they describe none.
        """
        given = {name: value for name, value in parameters.items() if value is not None}
        return cls.model_validate(given)


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
