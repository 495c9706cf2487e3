"""The agent's call through pauses, limits and deadlines, with a stand-in for its program."""

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.logging import disable_run_logger

from tests.support.fake_cli import (
    claude_error,
    claude_result,
    claude_text,
    fake_cli,
    says,
    times_called,
)
from wildloop.blocks.agents.claude_code import ClaudeCode
from wildloop.flows.models.session_options import SessionSpec
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.models.spending import Closing
from wildloop.flows.run.control import RunControl, StopReason, StopRequested
from wildloop.flows.session.position import Position
from wildloop.flows.settings import Settings
from wildloop.flows.turn import retry
from wildloop.flows.turn.caller import Caller
from wildloop.flows.turn.calls import CallEnd, call_agent

NOT_USED: Any = None
OFFLINE = says(claude_error("API Error: overloaded", 529), code=1)
GOOD = says(claude_result("fine", cost=0.25))


class Saved(Position):
    """A position that is saved to `bench`."""

    def __init__(self, bench: "Bench", spec: SessionSpec, record: SessionRecord) -> None:
        super().__init__(NOT_USED, spec, record)
        self.bench = bench

    async def save(self) -> None:
        self.bench.saved = self.record.model_dump_json()
        self.bench.notes.append(self.record.note)


class Bench:
    """A session as far as a call sees it. What is saved survives `restart`."""

    def __init__(self, folder: Path, *bodies: str, **spec: Any) -> None:
        self.program = fake_cli(folder / "bin", *bodies)
        self.agent = ClaudeCode(executable=str(self.program), retries=0)
        self.settings = Settings(
            home=folder, server_url="http://127.0.0.1:1", token=None, workdir=folder
        )
        self.spec = SessionSpec.model_validate({"goal": "g", "workdir": str(folder), **spec})
        self.position = Saved(
            self, self.spec, SessionRecord(session_id="s", started_at=time.time())
        )
        self.paths = self.position.paths
        self.control = RunControl()
        self.saved = ""
        self.notes: list[str] = []
        self.paused: list[str] = []
        self.interrupted: list[bool] = []

    @property
    def record(self) -> SessionRecord:
        return self.position.record

    async def pause(self, session_id: str, message: str) -> None:
        self.paused.append(message)

    async def write_prompt(self, interrupted: bool) -> str:
        self.interrupted.append(interrupted)
        return "Do it"

    async def call(self) -> CallEnd:
        record = IterationRecord(index=1, started_at=0.0)
        stores: Any = SimpleNamespace(sessions=self, runs=NOT_USED)
        caller = Caller(self.position, self.agent, self.control, stores, self.settings)
        with disable_run_logger():
            return await call_agent(caller, record, self.write_prompt)

    def restart(self) -> None:
        """As a worker does that takes the session up again after a pause."""
        self.position.record = SessionRecord.model_validate_json(self.saved)
        self.record.attempt += 1
        self.control = RunControl()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE_SECONDS", 0.05)


async def test_pauses_grow_and_the_sums_are_of_all_attempts(tmp_path: Path) -> None:
    bench = Bench(tmp_path, OFFLINE, OFFLINE, OFFLINE, GOOD)
    end = await bench.call()
    assert (end.reply.exit_reason, end.reply.text, end.was_cut) == ("finished", "fine", False)
    assert end.held_seconds == pytest.approx(0.05 + 0.1 + 0.2)
    assert (end.reply.cost_usd, times_called(bench.program)) == (0.25, 4)
    assert bench.interrupted == [False] * 4
    assert any("waiting for the agent's network or API until" in note for note in bench.notes)
    assert (bench.record.note, bench.record.call) == ("", None)
    assert len(end.folders) == 4


async def test_session_pauses_itself_when_patience_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(retry.PATIENCE_SECONDS, "unreachable", 0.12)
    bench = Bench(tmp_path, OFFLINE, OFFLINE, GOOD)
    with pytest.raises(StopRequested) as stop:
        await bench.call()
    assert stop.value.reason is StopReason.PAUSE
    assert "overloaded" in bench.paused[0] and bench.record.note == bench.paused[0]
    bench.restart()
    end = await bench.call()
    # Patience begins anew: only then may the resumed session wait again.
    assert (end.reply.text, end.held_seconds) == ("fine", 0.0)


async def test_what_a_paused_call_has_cost_counts(tmp_path: Path) -> None:
    begun = f"say({json.dumps(claude_text('begun'))})\ntime.sleep(60)"
    bench = Bench(tmp_path, begun, GOOD)
    calling = asyncio.ensure_future(bench.call())
    record = bench.paths.processes / "iteration-01.1" / "events.jsonl"
    while not record.exists() or b"begun" not in record.read_bytes():
        await asyncio.sleep(0.02)
        assert not calling.done()
    bench.control.request(StopReason.PAUSE)
    with pytest.raises(StopRequested):
        await calling
    bench.restart()
    end = await bench.call()
    assert end.reply.usage["output"] == 200 + 100
    assert (end.reply.num_turns, bench.interrupted) == (3, [False, True])
    # The price of the interrupted attempt is known from its tokens alone.
    assert end.reply.cost_is_estimate and (end.reply.cost_usd or 0) > 0.25


async def test_limit_that_outlasts_the_hours_is_no_failure(tmp_path: Path) -> None:
    late = says(claude_error("API Error: try again in 3 hours", 429), code=1)
    bench = Bench(tmp_path, late, budget={"hours": 3 / 3600})
    end = await bench.call()
    assert (end.reply.exit_reason, end.was_cut) == ("rate_limited", True)
    assert times_called(bench.program) == 1


async def test_last_call_of_a_session_waits_for_no_limit_beyond_its_time(tmp_path: Path) -> None:
    late = says(claude_error("API Error: try again in 3 hours", 429), code=1)
    bench = Bench(tmp_path, late)
    bench.record.closing = Closing(
        name="cost_usd", reason="r", at=time.time(), reflect_by=time.time() + 60
    )
    end = await bench.call()
    assert (end.reply.exit_reason, end.was_cut) == ("rate_limited", False)
