"""A recorded session: all that its prompts are made from, and the state before each call."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from wildloop.flows.keep.standing import account_of
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.keep import KeepState
from wildloop.flows.models.run import Run
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.models.spending import Closing
from wildloop.flows.project import ProjectConfig
from wildloop.flows.prompt.kind import Kind
from wildloop.flows.prompt.state import PromptState
from wildloop.flows.protocol.plan import parse_plan
from wildloop.flows.spending import spending
from wildloop.shim.client.api import ApiClient

PROJECT = "/home/me/digits"


class Recording(BaseModel):
    """A session as it was. `plans` has tasks.md after each of its calls, by label."""

    spec: SessionSpec
    contract: SessionContract
    calls: list[IterationRecord]
    runs: list[Run]
    plans: dict[str, str]
    protected: list[str] = Field(default_factory=list)
    memories: list[str] = Field(default_factory=list)
    logs: dict[str, str] = Field(default_factory=dict)
    keep: KeepState = Field(default_factory=KeepState)
    slots: int = 2


def record(client: ApiClient, session_id: str) -> Recording:
    """A session of a running server, its plans read from its commits."""
    session = client.request("GET", "/wild/v2/status", params={"session_id": session_id})
    calls = [IterationRecord.model_validate(one) for one in session["history"]]
    query = {"chat_session_id": session_id, "limit": 1000}
    runs = [Run.model_validate(one) for one in client.request("GET", "/runs", params=query)]
    workdir = Path(session["workdir"])
    tasks = f".wild/sessions/{session_id}/tasks.md"
    contract = client.request("GET", f"/wild/v2/contract/{session_id}")
    options = {"goal": session["goal"], "max_iterations": session["max_iterations"]}
    return Recording(
        spec=SessionSpec.model_validate(options | {"workdir": PROJECT}),
        contract=SessionContract.model_validate(contract),
        calls=[_bare(call) for call in calls],
        runs=[bare(run) for run in runs],
        plans={call.label: _shown(workdir, f"{call.commit}:{tasks}") for call in calls},
        logs={},
    )


def bare(run: Run) -> Run:
    """A run without what is this machine's own."""
    own = {"workdir": PROJECT, "run_dir": f"{PROJECT}/.wild/runs/{run.id}", "host": None}
    return run.model_copy(update=own | {"ui_url": None, "queued_at": None, "environment": ""})


def _bare(call: IterationRecord) -> IterationRecord:
    own = {"transcript": None, "events": None, "prompt_tokens": {}, "flow_run_id": None}
    return call.model_copy(update=own)


def _shown(workdir: Path, what: str) -> str:
    command = ["git", "-C", str(workdir), "show", what]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def state_before(recorded: Recording, place: int, kind: Kind, index: int) -> PromptState:
    """Where the session stood before its call number `place` (from 0)."""
    calls = recorded.calls[:place]
    made = {id for call in calls for id in call.run_ids}
    end = recorded.calls[place].started_at if place < len(recorded.calls) else float("inf")
    runs = [_at(run, end) for run in recorded.runs if run.id in made]
    labels = [call.label for call in calls]
    plan = recorded.plans.get(labels[-1], "") if labels else ""
    turn = 1 + sum(1 for call in calls if (call.kind, call.index) == ("iteration", index))
    session = SessionRecord(
        session_id=(runs[0].chat_session_id if runs else None) or "0f3c9a4e",
        iterations=calls,
        contract=recorded.contract,
        keep=recorded.keep,
        woken="all runs of this batch have ended" if turn > 1 else "",
        started_at=recorded.calls[0].started_at,
    )
    return PromptState(
        kind=kind,
        index=index,
        turn=turn,
        spec=recorded.spec,
        record=session,
        plan=parse_plan(plan),
        account=account_of(runs, calls, recorded.contract),
        fixed=recorded.contract,
        runs=runs,
        used=spending(session, runs, min(end, recorded.calls[-1].started_at)),
        project=ProjectConfig(protected=recorded.protected),
        slots=recorded.slots,
        free=max(0, recorded.slots - sum(not run.status.is_terminal for run in runs)),
        memories=recorded.memories,
        logs=recorded.logs,
    )


def closing(state: PromptState, reason: str) -> PromptState:
    """The same at the session's end."""
    record = state.record.model_copy(update={"closing": Closing(name="runs", reason=reason, at=0)})
    return PromptState(**{**vars(state), "record": record})


def _at(run: Run, now: float) -> Run:
    """The run as it was then."""
    if run.finished_at is None or run.finished_at <= now:
        return run
    status = "running" if run.started_at and run.started_at <= now else "queued"
    unknown = {"status": status, "finished_at": None, "exit_code": None, "metrics": {}}
    return Run.model_validate(run.model_dump() | unknown)


def places(calls: Sequence[IterationRecord], kind: Kind, index: int | None = None) -> list[int]:
    """The places of the calls of a kind (and of an iteration)."""
    return [
        place
        for place, call in enumerate(calls)
        if call.kind == kind and (index is None or call.index == index)
    ]
