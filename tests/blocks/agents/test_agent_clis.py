"""The real Claude Code, Codex and OpenCode against a model that answers by script."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.agent_clis import SLOWEST, agent_cli, block_fields
from tests.support.pace import patient
from tests.support.stub_models import (
    Bulk,
    Drop,
    Garbage,
    Hang,
    Refuse,
    Say,
    Shell,
    Step,
    StubModel,
)
from tests.support.waiting import until
from wildloop.blocks.agents.base import Agent, AgentReply, AgentRequest
from wildloop.blocks.agents.registry import TOOLS

pytestmark = pytest.mark.agent_cli
DEADLINE_S = 120.0
KEY = "key-0123456789"
TOKEN = "token-0123456789"
SLEEPS_S = {"claude": 15.0, "codex": 10.0, "opencode": 25.0}
TEXT = "All good.\n<summary>it works: ü €</summary>\n<promise>DONE</promise>"


class Desk:
    """One of the tools, at a project of its own, with a home of its own."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self.workdir = root / "a projekt ü"
        self.record = root / "record"
        self.home = root / "home"
        self.workdir.mkdir()
        self.home.mkdir()

    def agent(self, model: StubModel, tries_again: bool = False, **fields: Any) -> Agent:
        """The block, set up for the stub; see `block_fields`."""
        values = block_fields(self.name, model.url, self.home, KEY, tries_again)
        return TOOLS[self.name].model_validate(values | fields)

    def request(self, **changes: Any) -> AgentRequest:
        values = {
            "prompt": "Do the thing.\n" + "Be exact. " * 20_000,
            "workdir": self.workdir,
            "timeout_seconds": DEADLINE_S,
            "record": self.record,
        }
        return AgentRequest.model_validate(values | changes)

    async def call(self, *steps: Step, **changes: Any) -> tuple[AgentReply, StubModel]:
        with StubModel(*steps) as model:
            return await self.agent(model).run(self.request(**changes)), model

    def processes(self) -> list[psutil.Process]:
        """What runs in the project's folder."""
        return [process for process in psutil.process_iter() if self._is_here(process)]

    def talking_to(self, model: StubModel) -> list[psutil.Process]:
        """The processes that are connected to the model: the tool itself."""
        address = model.url.rpartition(":")[2]
        return [
            process
            for process in self.processes()
            if any(
                link.raddr and link.raddr.port == int(address)
                for link in process.net_connections("tcp")
            )
        ]

    def _is_here(self, process: psutil.Process) -> bool:
        try:
            return Path(process.cwd()).is_relative_to(self.workdir)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            return False


but_the_slowest = pytest.mark.parametrize(
    "desk",
    [pytest.param(name, marks=[pytest.mark.long] * (name == SLOWEST)) for name in sorted(TOOLS)],
    indirect=True,
)


@pytest.fixture(params=sorted(TOOLS))
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(request.param, tmp_path)
    yield desk
    assert desk.processes() == []


async def test_check_tells_a_version(desk: Desk) -> None:
    with StubModel() as model:
        assert str(agent_cli(desk.name)) in await desk.agent(model).check(desk.workdir)


async def test_plain_reply_with_tokens_and_cost(desk: Desk) -> None:
    reply, model = await desk.call(
        Say(TEXT, input_tokens=1000, output_tokens=50, cached_tokens=400)
    )
    assert (reply.exit_reason, reply.text, reply.error) == ("finished", TEXT, None)
    assert reply.usage == {"input": 600, "output": 50, "cache_read": 400, "cache_write": 0}
    assert reply.num_turns == 1
    assert "Be exact. Be exact." in str(model.main[0].body)
    # Codex tells no cost: gpt-5.5's list price is used. OpenCode goes by STUB_PRICE.
    cost = {
        "codex": (600 * 5 + 400 * 0.5 + 50 * 30) / 1e6,
        "opencode": (600 * 1 + 400 * 0.1 + 50 * 10) / 1e6,
    }
    if desk.name in cost:
        assert reply.cost_usd == pytest.approx(cost[desk.name])
    else:
        assert reply.cost_usd is not None and reply.cost_usd > 0
    assert reply.cost_is_estimate is (desk.name == "codex")


async def test_tool_runs_commands_in_the_workdir_with_the_call_s_variables(desk: Desk) -> None:
    command = 'printf "%s" "$PWD|$WILDLOOP_AUTH_TOKEN|$PATH" > made.txt'
    command += "; setsid sleep 600 < /dev/null > /dev/null 2>&1 &"
    env = {"WILDLOOP_AUTH_TOKEN": TOKEN, "PATH": f"/opt/mine:{os.environ['PATH']}"}
    reply, model = await desk.call(Shell(command), Say(TEXT), env=env)
    assert (reply.exit_reason, reply.text) == ("finished", TEXT)
    made = (desk.workdir / "made.txt").read_text().split("|")
    assert made[:2] == [str(desk.workdir), TOKEN]
    assert "/opt/mine" in made[2].split(":")
    assert len(model.main) == 2
    assert reply.usage["output"] == 40
    lines = [line async for line in desk.agent(model).follow(desk.record)]
    assert any("printf" in line for line in lines)
    assert "All good." in lines


@but_the_slowest
async def test_time_out_ends_a_hanging_child(desk: Desk) -> None:
    child = "setsid sleep 600 & echo $! > pid; sleep 600"
    # A busy machine may not even have started the tool within the shorter time.
    for seconds in (15, 60):
        with StubModel(Shell(child), Hang()) as model:
            agent = desk.agent(model, timeout_seconds=seconds)
            reply = await agent.run(desk.request(record=desk.root / f"record-{seconds}"))
        if (desk.workdir / "pid").exists():
            break
    assert reply.exit_reason == "timeout"
    assert (desk.workdir / "pid").exists()
    assert f"{seconds} s" in (reply.error or "")


@but_the_slowest
@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Refuse(429, "slow down", retry_after=1), "rate_limited"),
        (Refuse(401, "bad key"), "failed"),
    ],
)
async def test_refusal_is_told_apart(desk: Desk, step: Step, reason: str) -> None:
    reply, _ = await desk.call(step)
    assert (reply.exit_reason, reply.text) == (reason, "")
    assert reply.error


@pytest.mark.long
async def test_tool_that_sleeps_over_a_refusal_is_no_slow_one(desk: Desk) -> None:
    """Claude Code and OpenCode try again for long, Codex and OpenCode wait as long as told to."""
    step, reason = Refuse(429, "rate limit: slow down", retry_after=3600), "rate_limited"
    if desk.name == "claude":
        step, reason = Refuse(529, "overloaded"), "unreachable"
    with StubModel(step) as model:
        agent = desk.agent(model, tries_again=True, timeout_seconds=patient(SLEEPS_S[desk.name]))
        reply = await agent.run(desk.request())
    assert (reply.exit_reason, reply.text) == (reason, "")
    assert "was ended" in (reply.error or "")


@but_the_slowest
async def test_rate_limit_that_passes_is_waited_for(desk: Desk) -> None:
    with StubModel(Refuse(429, "slow down", retry_after=1), Say(TEXT)) as model:
        agent = desk.agent(model, retries=2, backoff_seconds=0.1)
        reply = await agent.run(desk.request())
    assert (reply.exit_reason, reply.text) == ("finished", TEXT)


@but_the_slowest
@pytest.mark.parametrize("step", [Drop(in_stream=True), Garbage()])
async def test_broken_answers_of_the_api_are_worth_another_try(desk: Desk, step: Step) -> None:
    reply, _ = await desk.call(step)
    assert reply.exit_reason == "unreachable"
    assert reply.error


@but_the_slowest
async def test_crash_of_the_tool_fails_the_call_and_leaves_no_process(desk: Desk) -> None:
    with StubModel(Shell("setsid sleep 600 > /dev/null 2>&1 &"), Hang()) as model:
        running = asyncio.create_task(desk.agent(model).run(desk.request()))
        await until(lambda: len(model.main) == 2, "the model is asked a second time")
        for process in desk.talking_to(model):
            process.kill()
        reply = await running
    assert reply.exit_reason in ("failed", "interrupted")
    assert reply.exit_code != 0 and reply.error


@pytest.mark.long
async def test_huge_reply_is_neither_lost_nor_fills_memory(desk: Desk) -> None:
    # Codex takes minutes for more: its time grows with the square of an answer's size.
    size = (6 if desk.name == "codex" else 50) * 2**20
    before = psutil.Process().memory_info().rss
    reply, _ = await desk.call(Bulk(size, last="<promise>DONE</promise>"))
    assert reply.exit_reason == "finished"
    assert reply.text.endswith("<promise>DONE</promise>")
    assert (desk.record / "events.jsonl").stat().st_size > size
    assert psutil.Process().memory_info().rss - before < 200 * 2**20


async def test_stop_in_mid_call_leaves_no_process_and_no_secret(desk: Desk) -> None:
    with StubModel(Shell("env"), Hang()) as model:
        agent = desk.agent(model)
        request = desk.request(env={"WILDLOOP_AUTH_TOKEN": TOKEN})
        running = asyncio.create_task(agent.run(request))
        await until(lambda: len(model.main) == 2, "the model is asked a second time")
        lines = [line for process in desk.processes() for line in process.cmdline()]
        await agent.stop(desk.record)
        reply = await running
    assert reply.exit_reason == "interrupted"
    assert lines
    stored = [path.read_bytes() for path in desk.root.rglob("*") if path.is_file()]
    for secret in (TOKEN, KEY):
        assert not any(secret in line for line in lines)
        assert not any(secret.encode() in content for content in stored)
