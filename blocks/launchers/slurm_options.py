"""Slurm options of a launch, checked before sbatch sees them."""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

GPUS = "{gpus}"
# Slurm may send the signal as much as half a minute early: it is not worth that in a short job.
WARNED_MINUTES = 10.0
WARNING_SECONDS = 60
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.,:@+-]*$"
_LIMIT = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
# What the launcher itself decides: with another value it would lose sight of the job.
_RESERVED = (
    *("array", "chdir", "clusters", "comment", "error", "export", "export-file", "get-user-env"),
    *("help", "input", "job-name", "open-mode", "output", "parsable", "quiet", "test-only"),
    *("uid", "gid", "usage", "version", "wait", "wrap"),
)
_RESERVED_LETTERS = frozenset("aDMeioJWQhV")
_LETTERS_WITHOUT_VALUE = frozenset("HIkKOsvWQhV")


def _checked_argument(text: str) -> str:
    if not text.isprintable() or not re.match(r"-[A-Za-z]|--[a-z]", text):
        raise ValueError(
            f"sbatch argument {text!r} is not one option: give each as one text with its value, "
            "as '--constraint=a100'"
        )
    name = text.partition("=")[0].removeprefix("--")
    if text.startswith("--"):
        # sbatch takes any beginning of an option's name for the option.
        taken = any(reserved.startswith(name) for reserved in _RESERVED)
    else:
        taken = _letter_is_reserved(text[1:])
    if taken:
        raise ValueError(
            f"sbatch argument '{text}' is set by Wildloop itself: leave it out "
            "(array jobs: create one run per configuration)"
        )
    return text


def _letter_is_reserved(letters: str) -> bool:
    for letter in letters:
        if letter in _RESERVED_LETTERS:
            return True
        if letter not in _LETTERS_WITHOUT_VALUE:
            return False
    return False


def _checked_line(text: str) -> str:
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError(f"set-up line {text!r} holds a line break: give each line by itself")
    return text


def _checked_limit(text: str) -> str:
    limit_minutes(text)
    return text


Name = Annotated[str, Field(pattern=_NAME, max_length=200)]
Gres = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.,:/{}-]*$", max_length=200)]
Memory = Annotated[str, Field(pattern=r"^[0-9]+[KMGTkmgt]?$")]
TimeLimit = Annotated[str, AfterValidator(_checked_limit)]
SbatchArgument = Annotated[str, AfterValidator(_checked_argument)]
Constraint = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.,:&|*()\[\]-]*$", max_length=200)
]
Module = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./+-]*$", max_length=200)]
Container = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./~][^\s'\"]*$", max_length=1000)]
SetupLine = Annotated[str, AfterValidator(_checked_line)]


class SlurmOverride(BaseModel):
    """Slurm options for one run; what is not given is as in the compute block.

    `gres` asks for GPUs, `{gpus}` standing for their number: "gpu:a100:{gpus}". `gpu_type` is the
    short way; where nodes tell their type by a feature, `gpu_type_by` "constraint" asks for that.
    `memory` as sbatch reads it ("32G", per node), `time_limit` too ("30", "2:00:00",
    "1-12", "infinite"). The run's `gpus` are spread evenly over `nodes` (default 1), each of which
    gets `tasks_per_node` tasks for `srun` (default 1). `container` is an image for
    `container_runtime` (default apptainer). A list replaces the block's list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: Name | None = None
    account: Name | None = None
    qos: Name | None = None
    gpu_type: Name | None = None
    gpu_type_by: Literal["gres", "constraint"] | None = None
    gres: Gres | None = None
    cpus_per_task: int | None = Field(default=None, gt=0, strict=True)
    memory: Memory | None = None
    time_limit: TimeLimit | None = None
    extra_arguments: list[SbatchArgument] | None = None
    setup_lines: list[SetupLine] | None = None
    nodes: int | None = Field(default=None, gt=0, le=10_000, strict=True)
    tasks_per_node: int | None = Field(default=None, gt=0, le=10_000, strict=True)
    constraint: Constraint | None = None
    modules: list[Module] | None = None
    container: Container | None = None
    container_runtime: Literal["apptainer", "pyxis"] | None = None
    grace_seconds: int | None = Field(default=None, gt=0, le=3600, strict=True)

    @field_validator("cpus_per_task", "nodes", "tasks_per_node", "grace_seconds", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        # In JSON 4.0 is a whole number.
        return int(value) if type(value) is float and value.is_integer() else value


def limit_minutes(text: str) -> float:
    """Minutes of a Slurm time limit, `inf` for none.

    Forms: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]],
    "infinite" or "unlimited".

    Raises:
        ValueError: it has none of these forms.
    """
    if text.lower() in ("infinite", "unlimited"):
        return math.inf
    found = _LIMIT.fullmatch(text)
    if found is None:
        raise ValueError(
            f"time limit '{text}' is no Slurm time: give minutes ('90'), 'hours:minutes:seconds' "
            "or 'days-hours'"
        )
    days, *rest = found.groups()
    first, second, third = (int(part) if part else 0 for part in rest)
    if days is not None:
        return int(days) * 1440 + first * 60 + second + third / 60
    if rest[2] is not None:
        return first * 60 + second + third / 60
    return first + second / 60


def sbatch_options(
    options: SlurmOverride, gpus: int, timeout_seconds: float | None, has_own_limit: bool
) -> list[str]:
    """The sbatch arguments that ask for resources.

    Args:
        options: block and override, merged.
        gpus: devices in all, spread evenly over the nodes.
        timeout_seconds: the run's own time-out. The limit is then the next minute after it, so
            that the scheduler can plan, and Wildloop's own time-out comes first; a shorter limit
            of the block stays.
        has_own_limit: the time limit was given for this very run and is taken as it is.
    """
    nodes = options.nodes or 1
    limit = limit_of(options, timeout_seconds, has_own_limit)
    warning = warning_seconds(options, limit)
    named = {
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
        "cpus-per-task": options.cpus_per_task,
        "mem": options.memory,
        "constraint": _constraint(options, gpus),
        "gres": gres_request(options, gpus // nodes),
        "time": limit,
        # To the batch shell alone, which passes it on.
        "signal": None if warning is None else f"B:TERM@{warning}",
    }
    given = [f"--{name}={value}" for name, value in named.items() if value is not None]
    tasks = f"--ntasks-per-node={options.tasks_per_node or 1}"
    shape = [
        f"--nodes={nodes}",
        "--ntasks=1" if nodes == 1 and not options.tasks_per_node else tasks,
    ]
    # The user's own arguments come last, so that they win.
    return [*shape, "--requeue", *given, *(options.extra_arguments or [])]


def _constraint(options: SlurmOverride, gpus: int) -> str | None:
    """The text for --constraint: what is asked for, and the GPU's type where a feature tells it."""
    if gpus == 0 or options.gpu_type is None or options.gpu_type_by != "constraint":
        return options.constraint
    return f"({options.constraint})&{options.gpu_type}" if options.constraint else options.gpu_type


def gres_request(options: SlurmOverride, gpus: int) -> str | None:
    """The text for --gres; None when no GPU is wanted."""
    if gpus == 0:
        return None
    by_gres = options.gpu_type and options.gpu_type_by != "constraint"
    kind = f":{options.gpu_type}" if by_gres else ""
    template = options.gres or f"gpu{kind}:{GPUS}"
    return template.replace(GPUS, str(gpus))


def limit_of(
    options: SlurmOverride, timeout_seconds: float | None, has_own_limit: bool
) -> str | None:
    """The time limit that a job is given; None: its partition's."""
    limit = options.time_limit
    if timeout_seconds is None or has_own_limit:
        return limit
    minutes = math.floor(timeout_seconds / 60) + 2
    if limit is not None and limit_minutes(limit) <= minutes:
        return limit
    return str(minutes)


def warning_seconds(options: SlurmOverride, limit: str | None) -> int | None:
    """How long before its time limit a job is told to end; None: only at the limit itself.

    A limit that follows the run's own time-out needs no warning: the time-out comes first.
    """
    if limit is None or limit != options.time_limit:
        return None
    minutes = limit_minutes(limit)
    if minutes < WARNED_MINUTES or math.isinf(minutes):
        return None
    return options.grace_seconds or WARNING_SECONDS
