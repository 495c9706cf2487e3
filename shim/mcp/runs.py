"""Tools about sweeps and runs."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from wildloop.flows.models.run import LogChunk, Run, RunStatus
from wildloop.shim.mcp.text import MOST_ITEMS, cut_middle, to_json
from wildloop.shim.mcp.tool import Desk, Grid, RunId, Strings, Tool, ToolMisused, Values, quoted
from wildloop.shim.models import RunMetricsView

MOST_RUNS = 1000
LOG_BYTES = 8_000
MOST_LOG_BYTES = 32_000
MOST_POINTS = 50
LIST_STRING = 200
Folder = Annotated[
    str | None, Field(description="Folder to run in (default: the session's project).")
]
Gpus = Annotated[int, Field(ge=0, le=1024, description="GPU slots of a run; 0: CPU only.")]
Seconds = Annotated[float | None, Field(gt=0, description="Time-out of a run (default: none).")]


class CreateSweep(Tool):
    """Create a sweep, a named group of runs with one goal.

    Without base_command it is empty: create its runs one by one with create_run and sweep_id.
    With base_command and parameters it is a grid: each combination becomes a run.
    """

    reads_only: ClassVar[bool] = False
    name: str = Field(min_length=1, max_length=200)
    goal: str = Field(min_length=1, description="What its runs are to find out.")
    base_command: str | None = Field(
        default=None, description="Shell command; parameters are appended as --key=value."
    )
    parameters: Grid = Field(
        default_factory=dict, description="Values of each parameter, as {lr: [0.1, 0.01]}."
    )
    max_runs: int = Field(default=10, ge=1, le=MOST_RUNS, description="Most runs of a grid.")
    auto_start: bool = Field(default=False, description="Queue a grid's runs at once.")
    workdir: Folder = None
    gpus: Gpus = 1
    timeout_seconds: Seconds = None

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        body, path = self.body(), "/sweeps"
        if self.base_command is None:
            given = sorted(self.model_fields_set - {"name", "goal", "base_command"})
            if given:
                raise ToolMisused(f"{', '.join(given)}: of a grid alone: give base_command too")
            body, path = {"name": self.name, "goal": self.goal}, "/sweeps/wild"
        else:
            body["workdir"] = desk.folder(self.workdir)
        body["chat_session_id"] = desk.session_id
        return to_json(desk.create(path, body))


class CreateRun(Tool):
    """Create a run: one command, one configuration; Wildloop executes, logs and measures it.

    It is `ready` until start_run, or with auto_start queued at once; queued runs start by
    themselves as slots free up.
    """

    reads_only: ClassVar[bool] = False
    name: str = Field(min_length=1, max_length=200, description="Short and telling.")
    command: str = Field(min_length=1, description="Shell command, run by bash in workdir.")
    workdir: Folder = None
    sweep_id: str | None = Field(default=None, description="Sweep that it belongs to.")
    parameters: Values = Field(
        default_factory=dict, description="The configuration, for tables; not added to command."
    )
    env: Strings = Field(default_factory=dict, description="Extra environment variables.")
    gpus: Gpus = 1
    timeout_seconds: Seconds = None
    seed: int | None = Field(default=None, description="Seed, recorded in the manifest.")
    priority: int = Field(default=0, ge=-1000, le=1000, description="Higher starts first.")
    parent_run_id: str | None = Field(default=None, description="Run that this one repeats.")
    origin_alert_id: str | None = Field(default=None, description="Alert that led to it.")
    auto_start: bool = Field(default=False, description="Queue it at once.")

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        own = {"workdir": desk.folder(self.workdir), "chat_session_id": desk.session_id}
        return to_json(desk.create("/runs", self.body() | own))


class StartRun(Tool):
    """Queue a `ready` run; it starts by itself as soon as a slot is free."""

    reads_only: ClassVar[bool] = False
    run_id: RunId

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        return to_json(desk.api.request("POST", f"/runs/{quoted(self.run_id)}/start"))


class StopRun(Tool):
    """Stop a run: TERM to its processes, KILL after a grace time."""

    reads_only: ClassVar[bool] = False
    run_id: RunId

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        return to_json(desk.api.request("POST", f"/runs/{quoted(self.run_id)}/stop"))


class ListRuns(Tool):
    """List runs, newest first, in short; in a session its own runs unless all_sessions."""

    status: RunStatus | None = Field(default=None, description="Only with this status.")
    sweep_id: str | None = Field(default=None, description="Only of this sweep.")
    all_sessions: bool = Field(default=False, description="Runs of other sessions too.")
    limit: int = Field(default=MOST_ITEMS, ge=1, le=MOST_ITEMS)
    offset: int = Field(default=0, ge=0, le=1_000_000, description="Leave out the first so many.")

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        found = desk.api.runs(
            limit=MOST_RUNS,
            offset=self.offset,
            status=self.status.value if self.status else None,
            sweep_id=self.sweep_id,
            chat_session_id=None if self.all_sessions else desk.session_id,
        )
        answer: dict[str, Any] = {"runs": [_in_short(run) for run in found[: self.limit]]}
        left = len(found) - self.limit
        if left > 0:
            more = f"{left} or more" if len(found) == MOST_RUNS else str(left)
            answer["more"] = f"{more} more: ask with offset={self.offset + self.limit}"
        return to_json(answer) if found else "no runs"


class GetRun(Tool):
    """Read a run: status, exit code, error, last metrics, folder, devices."""

    run_id: RunId

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        return to_json(desk.api.request("GET", f"/runs/{quoted(self.run_id)}"))


class GetLogs(Tool):
    """Read a run's log (stdout and stderr): beginning and end, or a part from offset."""

    run_id: RunId
    offset: int | None = Field(
        default=None, description="Read from this byte on; negative: from the end."
    )
    limit: int = Field(default=LOG_BYTES, ge=200, le=MOST_LOG_BYTES, description="Most bytes.")

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        run_id = quoted(self.run_id)
        if self.offset is not None:
            return _log_part(desk.api.logs(run_id, self.offset, self.limit))
        head = desk.api.logs(run_id, 0, self.limit // 4)
        if head.next_offset >= head.size:
            return _log_part(head)
        rest = self.limit - self.limit // 4
        tail = desk.api.logs(run_id, max(head.next_offset, head.size - rest), rest)
        left_out = tail.offset - head.next_offset
        if left_out == 0:
            whole = {"content": head.content + tail.content, "offset": 0}
            return _log_part(tail.model_copy(update=whole))
        note = f"[... {left_out} bytes left out: get_logs with offset={head.next_offset} ...]"
        return f"{head.content}\n{note}\n{_log_part(tail)}"


class GetMetrics(Tool):
    """Read a run's metrics: last, lowest and highest values, each series as [step, value] pairs."""

    run_id: RunId
    name: str | None = Field(default=None, min_length=1, description="Only this metric.")
    points: int = Field(
        default=20, ge=2, le=MOST_POINTS, description="Points of a series, extremes kept."
    )

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        found = self._read(desk, self.name)
        if self.name is not None and self.name not in found.series:
            known = ", ".join(sorted(self._read(desk).series)[:MOST_ITEMS]) or "none yet"
            return f"no metric '{cut_middle(self.name, LIST_STRING)}'; the run has: {known}"
        if not found.series and not found.last:
            return "no metrics yet"
        series = {
            name: [
                [number if point.step is None else point.step, point.value]
                for number, point in enumerate(points)
            ]
            for name, points in found.series.items()
        }
        ends = {
            which: {key: value for key, value in values.items() if self.name in (None, key)}
            for which, values in (
                ("last", found.last),
                ("lowest", found.lowest),
                ("highest", found.highest),
            )
        }
        best = found.best.model_dump(mode="json") if found.best else None
        return to_json(ends | {"best": best, "series": series, "notes": found.notes})

    def _read(self, desk: Desk, name: str | None = None) -> RunMetricsView:
        params = {"points": self.points} | ({"name": name} if name else {})
        answer = desk.api.request("GET", f"/runs/{quoted(self.run_id)}/metrics", params=params)
        return RunMetricsView.model_validate(answer)


def _in_short(run: Run) -> dict[str, Any]:
    found = run.model_dump(
        mode="json",
        include={"id", "name", "status", "sweep_id", "exit_code", "error", "reason", "metrics"},
    )
    found["command"] = cut_middle(run.command, LIST_STRING)
    found["error"] = cut_middle(run.error, LIST_STRING) if run.error else None
    if run.started_at is not None and run.finished_at is not None:
        found["seconds"] = round(run.finished_at - run.started_at, 1)
    return found


def _log_part(chunk: LogChunk) -> str:
    end = "the run has ended" if chunk.eof else f"go on with offset={chunk.next_offset}"
    if chunk.next_offset >= chunk.size and not chunk.eof:
        end = f"the run may write more: {end}"
    where = f"bytes {chunk.offset} to {chunk.next_offset} of {chunk.size}; {end}"
    return f"{chunk.content}\n[{where}]" if chunk.content else f"[no output; {where}]"
