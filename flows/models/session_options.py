"""What a session is asked to do: goal, agent, bounds and ways of working.

Each option is declared here and nowhere else. From these models come the body of
`POST /wild/v2/start`, the parameters of the research loop with Prefect's form for them
(`flows.models.parameters`), and the options of `wildloop start` (`shim.cli.options`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from wildloop.flows.models.body import Body
from wildloop.flows.models.wake import Wake

FOLDER: FieldInfo = Field(
    min_length=1,
    title="Project folder",
    description="A git repository on the worker's host: the code to improve.",
    examples=["/home/me/project"],
)
KeepMode = Literal["all", "better"]
Isolation = Literal["none", "snapshot"]
Explore = Literal["greedy", "tree"]
Approved = Literal["plan", "changes"]


@dataclass(frozen=True)
class CommandLine:
    """How an option is given on the command line, where its field does not tell.

    Args:
        name: instead of the field's own, with dashes; without dashes it is an argument.
        value: what the field gets where the option is given, which then takes none.
        default: instead of the field's own.
    """

    name: str | None = None
    value: str | None = None
    default: str | None = None


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
    cost_usd: Annotated[float | None, CommandLine("--budget-cost")] = Field(
        default=None,
        gt=0,
        title="Cost (US dollars)",
        description="What the agent may spend, in US dollars.",
    )
    gpu_hours: float | None = Field(
        default=None, gt=0, title="GPU hours", description="Slot-hours of all runs together."
    )
    runs: int | None = Field(
        default=None, ge=1, title="Runs", description="How many runs may be created."
    )


class SessionStart(Body):
    """The options of a session; body of `POST /wild/v2/start`."""

    goal: Annotated[str, CommandLine("goal", default="")] = Field(
        min_length=1,
        pattern=r"\S",
        title="Goal",
        description="What the research is to reach, with the metric and its target.",
        examples=["Get validation accuracy above 0.97"],
    )
    workdir: Annotated[str | None, CommandLine(default="."), FOLDER] = None
    agent: str = Field(
        default="baseline",
        min_length=1,
        title="Agent",
        description="`baseline` (built in, no LLM), `claude`, `codex` or `opencode` (with a model: "
        "`claude:<model>`), `openai:<model>@<API URL>`, `command:<shell command>`, or the name of "
        "a saved agent block, as `block-type/name`.",
        examples=["baseline", "claude", "openai:qwen3@http://127.0.0.1:8000/v1"],
    )
    max_iterations: int = Field(
        default=25,
        ge=1,
        le=10_000,
        title="Maximum iterations",
        description="Hard stop, planning not counted.",
    )
    max_calls_per_iteration: int = Field(
        default=8,
        ge=1,
        le=10_000,
        title="Calls in an iteration",
        description="How many calls of one iteration may create runs and wait; the next one after "
        "them is a new iteration.",
    )
    wait_seconds: float = Field(
        default=30.0,
        ge=0.1,
        le=86_400,
        title="Looks while waiting (seconds)",
        description="While a session waits it looks at its runs at least this often. Its agent is "
        "called on news alone.",
    )
    wake: Wake = Field(
        default="all",
        title="Wake",
        description="When a waiting agent is called: `all`: when all runs of its batch have ended, "
        "or one has failed by a cause that it has not heard of; `first`: at each end; `failed`: at "
        "each failure, else at the end of all. An answer may say otherwise for itself.",
    )
    wait_at_most_seconds: Annotated[float, CommandLine("--wait-at-most")] = Field(
        default=3600.0,
        ge=1,
        le=7 * 86_400,
        title="Longest wait (seconds)",
        description="Without any news a waiting agent is called after this time, then after twice "
        "as long, and so on.",
    )
    iteration_timeout_seconds: Annotated[float, CommandLine("--iteration-timeout")] = Field(
        default=3600.0,
        gt=0,
        title="Iteration time-out (seconds)",
        description="An agent that takes longer is ended and the iteration recorded as failed.",
    )
    autonomy_level: Annotated[
        Literal["cautious", "balanced", "full"], CommandLine("--autonomy")
    ] = Field(
        default="balanced",
        title="Autonomy",
        description="How much the agent decides without asking. `cautious`: its plan waits for "
        "your approval.",
    )
    approve: Approved = Field(
        default="plan",
        title="Approve",
        description="With `cautious` autonomy, what waits for your approval: `plan`; `changes`: "
        "with `keep: better`, each change that is to be kept, too.",
    )
    approval_timeout_seconds: Annotated[float | None, CommandLine("--approval-timeout")] = Field(
        default=None,
        gt=0,
        le=30 * 86_400,
        title="Approval time-out (seconds)",
        description="Without an answer for so long the session goes on as if you had approved; "
        "unset: it waits.",
    )
    away_duration_minutes: Annotated[int, CommandLine("--away-minutes")] = Field(
        default=0,
        ge=0,
        title="Away for (minutes)",
        description="How long nobody can be asked; told to the agent. 0: the user is there.",
    )
    evo_sweep_enabled: Annotated[bool, CommandLine("--evo-sweep")] = Field(
        default=False,
        title="Evolutionary sweeps",
        description="Whether the agent may ask for evolutionary sweeps.",
    )
    branch: Literal["new", "current"] = Field(
        default="new",
        title="Branch",
        description="`new`: commit on wild/<session>; `current`: on the branch checked out now.",
    )
    budget: Budget = Field(
        default_factory=Budget,
        title="Budget",
        description="Upper bounds; the session ends at the first.",
    )
    chat_session_id: Annotated[str | None, CommandLine("--chat-session")] = Field(
        default=None,
        min_length=1,
        max_length=200,
        title="Chat session",
        description="Id by which another front end knows the session.",
    )
    keep: KeepMode = Field(
        default="all",
        title="Keep",
        description="`better`: a change stays only if its runs show that it beats the best so far; "
        "else git takes it back. `all`: every change stays.",
    )
    keep_alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        title="Alpha",
        description="With `keep: better`: the probability of taking noise for a gain, for each "
        "iteration.",
    )
    explore: Explore = Field(
        default="greedy",
        title="Explore",
        description="With `keep: better`, the code that an iteration begins with: `greedy`: the "
        "best; `tree`: the best or an earlier change that was taken back, by an upper confidence "
        "bound over the tree of changes, where the agent names none.",
    )
    isolation: Annotated[Isolation, CommandLine("--isolate", value="snapshot")] = Field(
        default="none",
        title="Code isolation",
        description="`snapshot`: a run executes the code as it was when the run was created, in a "
        "git worktree; `none`: in the project's folder, as it is when the run starts.",
    )
    researchers: int = Field(
        default=1,
        ge=1,
        le=16,
        title="Researchers",
        description="How many agents work at the same time, each on a task of the plan in a git "
        "worktree of its own; more than one need `keep: better`, by which their changes are "
        "merged one at a time, and make no evolutionary sweep.",
    )

    @field_validator("researchers")
    @classmethod
    def _work_together(cls, value: int, info: ValidationInfo) -> int:
        if value == 1:
            return value
        if info.data.get("keep", "better") != "better":
            raise ValueError(
                f"{value} need keep: better (`--keep better`), which decides what of their work "
                "is merged"
            )
        if info.data.get("evo_sweep_enabled"):
            raise ValueError(
                f"{value} make no evolutionary sweep: leave evo_sweep_enabled out, or work with one"
            )
        if info.data.get("explore") == "tree":
            raise ValueError(
                f"{value} begin from what was merged last: leave `explore: tree` out, or work with "
                "one"
            )
        return value

    @field_validator("explore")
    @classmethod
    def _explores_what_is_kept(cls, value: Explore, info: ValidationInfo) -> Explore:
        if value == "tree" and info.data.get("keep", "better") != "better":
            raise ValueError("`tree` goes back to what was taken back: give `keep: better` with it")
        return value


class SessionSpec(SessionStart):
    """The options of a session whose project is known: the parameters of the research loop."""

    workdir: Annotated[str, FOLDER]

    @classmethod
    def of_parameters(cls, parameters: Mapping[str, Any]) -> "SessionSpec":
        """The session that these parameters of a flow run describe; None means the default.

        Raises:
            ValidationError: they describe none.
        """
        # To the flow itself, what was not given arrives as the description of its parameter.
        given = {
            name: value
            for name, value in parameters.items()
            if value is not None and not isinstance(value, FieldInfo)
        }
        return cls.model_validate(given)
