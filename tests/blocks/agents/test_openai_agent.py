"""The agent for any OpenAI-compatible server: its real process against a scripted model."""

import asyncio
import io
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from tests.support.pace import patient
from tests.support.server import alive
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
from wildloop.blocks.agents.base import AgentReply, AgentRequest, AgentUnavailable
from wildloop.blocks.agents.openai_compatible import OpenAICompatible
from wildloop.blocks.agents.registry import AGENT_BLOCKS, load_agent
from wildloop.blocks.agents.tool_loop.client import ModelClient
from wildloop.blocks.agents.tool_loop.events import Events
from wildloop.blocks.agents.tool_loop.files import Files
from wildloop.blocks.agents.tool_loop.loop import ToolLoop
from wildloop.blocks.agents.tool_loop.settings import Clock, LoopSettings, Secrets
from wildloop.blocks.agents.tool_loop.shell import Shell as ToolShell
from wildloop.blocks.agents.tool_loop.tools import Tools

DEADLINE_S = 60.0
KEY = "key-0123456789"
HEADER = "header-0123456789"
TOKEN = "token-0123456789"
TEXT = "All good.\n<summary>it works: ü €</summary>\n<promise>DONE</promise>"
NO_TOOLS = Refuse(400, "stub does not support tools")


def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


def raw(*deltas: dict[str, Any], reason: str | None = "stop") -> Garbage:
    """A stream of these deltas, without usage and without [DONE]."""
    return Garbage(b"".join(map(chunk, deltas)) + chunk({}, reason))


def calling(name: str, arguments: str, call_id: str | None = None) -> dict[str, Any]:
    call = {"id": call_id, "function": {"name": name, "arguments": arguments}}
    return {"content": None, "tool_calls": [call]}


class Desk:
    """A project, a record, and models that answer by script."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.workdir = root / "a projekt ü"
        self.workdir.mkdir()
        self.record = root / "record"
        self._stack = stack
        self.model = StubModel()

    def agent(self, *steps: Step, toolless: bool = False, **fields: Any) -> OpenAICompatible:
        self.model = self._stack.enter_context(StubModel(*steps, toolless=toolless))
        values = {"base_url": f"{self.model.url}/v1", "model": "stub", "backoff_seconds": 0.01}
        return OpenAICompatible.model_validate(values | fields)

    def request(self, **changes: Any) -> AgentRequest:
        values = {
            "prompt": "Do it: ü",
            "workdir": self.workdir,
            "timeout_seconds": DEADLINE_S,
            "record": self.record,
            "env": {"WILDLOOP_AUTH_TOKEN": TOKEN},
        }
        return AgentRequest.model_validate(values | changes)

    async def call(self, *steps: Step, toolless: bool = False, **fields: Any) -> AgentReply:
        return await self.agent(*steps, toolless=toolless, **fields).run(self.request())

    def sent(self, number: int = -1) -> list[dict[str, Any]]:
        """The conversation of a request."""
        found = self.model.main[number].body["messages"]
        assert isinstance(found, list)
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.record / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["type"] == kind]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ExitStack() as stack:
        yield Desk(tmp_path, stack)


async def test_model_works_with_the_shell_and_its_last_message_is_the_reply(desk: Desk) -> None:
    reply = await desk.call(Shell("echo hi > made.txt; pwd"), Say(TEXT))
    assert (reply.text, reply.exit_reason, reply.error) == (TEXT, "finished", None)
    assert (desk.workdir / "made.txt").read_text() == "hi\n"
    assert reply.usage == {"input": 120, "output": 40, "cache_read": 80, "cache_write": 0}
    assert reply.num_turns == 2
    system, prompt, answer, output = desk.sent()
    assert str(desk.workdir) in system["content"] and prompt["content"] == "Do it: ü"
    assert answer["tool_calls"][0]["id"] == output["tool_call_id"]
    assert (output["role"], output["content"]) == ("tool", str(desk.workdir))


async def test_price_makes_an_estimate_of_the_cost(desk: Desk) -> None:
    price = {"input": 1.0, "output": 10.0, "cache_read": 0.0}
    reply = await desk.call(Say(TEXT), price=price)
    assert reply.cost_is_estimate and reply.cost_usd == pytest.approx(60e-6 + 200e-6)


async def test_several_calls_of_one_answer_without_ids_are_all_done(desk: Desk) -> None:
    write = json.dumps({"path": "a.txt", "content": "one\n"})
    edit = json.dumps({"path": "a.txt", "old_text": "one", "new_text": "two"})
    reply = await desk.call(
        raw(calling("write_file", write), calling("edit_file", edit), reason="tool_calls"),
        Say("done"),
    )
    assert reply.text == "done"
    assert (desk.workdir / "a.txt").read_text() == "two\n"
    calls = desk.sent()[2]["tool_calls"]
    assert len({call["id"] for call in calls} | {""}) == 3
    assert [m["tool_call_id"] for m in desk.sent()[3:]] == [call["id"] for call in calls]


async def test_faulty_calls_are_told_to_the_model_and_go_out_as_json(desk: Desk) -> None:
    reply = await desk.call(
        raw(calling("bash", '{"command": "ec', "c1"), reason="length"),
        raw(calling("fly", "{}", "c2")),
        raw(calling("bash", '{"cmd": "ls"}', "c3")),
        Say("well"),
    )
    assert reply.exit_reason == "finished"
    told = [message["content"] for message in desk.sent() if message["role"] == "tool"]
    assert "no valid JSON" in told[0] and "no tool 'fly': use one of bash" in told[1]
    assert "command: Field required" in told[2]
    for message in desk.sent():
        for call in message.get("tool_calls", []):
            assert isinstance(json.loads(call["function"]["arguments"]), dict)


async def test_server_without_tools_gets_commands_from_fenced_blocks(desk: Desk) -> None:
    block = "I look.\n```bash\necho one > f\n```\nthen\n```bash\necho two > f\n```"
    last = "<plan>\n```bash\nrm -f f\n```\n</plan>\n<promise>DONE</promise>"
    reply = await desk.call(NO_TOOLS, Say(block), Say(last), toolless=True)
    assert (reply.text, reply.exit_reason) == (last, "finished")
    assert (desk.workdir / "f").read_text() == "one\n"
    assert "tools" not in desk.model.main[1].body
    assert "```bash" in desk.sent()[0]["content"]
    assert [message["role"] for message in desk.sent()] == ["system", "user", "assistant", "user"]
    assert "only the first of your 2 commands" in desk.sent()[-1]["content"]


async def test_server_that_drops_the_tools_unseen_gets_fenced_commands_too(desk: Desk) -> None:
    await desk.call(
        Say("I look:\n```bash\ntouch here\n```"), Say("```bash\nrm here\n```\n<x>y</x>")
    )
    assert (desk.workdir / "here").exists() and len(desk.model.main) == 2


async def test_model_that_uses_tools_may_quote_commands(desk: Desk) -> None:
    reply = await desk.call(Shell("true"), Say("Run this:\n```bash\ntouch here\n```"))
    assert "touch here" in reply.text and not (desk.workdir / "here").exists()


async def test_written_out_tool_call_is_done(desk: Desk) -> None:
    call = json.dumps({"name": "bash", "arguments": {"command": "touch here"}})
    await desk.call(Say(f"<think>hm</think><tool_call>{call}</tool_call>"), Say("ok"))
    assert (desk.workdir / "here").exists()


async def test_whole_json_in_place_of_a_stream_is_understood(desk: Desk) -> None:
    message = {"role": "assistant", "content": [{"type": "text", "text": "plain"}]}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    reply = await desk.call(Garbage(body, "application/json; charset=utf-8"))
    assert (reply.text, reply.usage) == ("plain", {})


@pytest.mark.parametrize(
    "trouble",
    [
        Drop(),
        Drop(in_stream=True),
        Garbage(),
        Garbage(chunk({"content": "half"})),
        Garbage(b'data: {"choices": [{"del\n\n'),
        Garbage(b'data: {"error": {"message": "overloaded", "code": 503}}\n\n'),
        Refuse(503, "busy"),
        Refuse(429, "slow down", 0.01),
    ],
)
async def test_passing_trouble_costs_one_more_request(desk: Desk, trouble: Step) -> None:
    reply = await desk.call(Shell("echo >> n"), trouble, Say(TEXT))
    assert (reply.text, reply.exit_reason) == (TEXT, "finished")
    assert (desk.workdir / "n").read_text() == "\n"
    assert len(desk.events("retry")) == 1 and len(desk.model.main) == 3


@pytest.mark.parametrize(
    ("trouble", "reason", "requests"),
    [
        (Refuse(429, "slow down"), "rate_limited", 3),
        (Refuse(503, "busy"), "unreachable", 3),
        (Garbage(), "unreachable", 3),
        (Drop(), "unreachable", 3),
        (Refuse(401, "bad key"), "failed", 1),
        (Refuse(429, "You exceeded your current quota"), "failed", 1),
        (Refuse(404, "model 'stub' not found"), "failed", 1),
    ],
)
async def test_lasting_trouble_ends_the_call(
    desk: Desk, trouble: Step, reason: str, requests: int
) -> None:
    reply = await desk.call(Shell("true"), trouble, retries=2)
    assert reply.exit_reason == reason and reply.error
    assert len(desk.model.main) == requests + 1
    assert reply.usage["output"] == 20
    assert not (desk.record / "retry-01").exists()


async def test_long_rate_limit_is_reported_and_not_waited_for(desk: Desk) -> None:
    reply = await desk.call(Refuse(429, "slow down", 3600))
    assert (reply.exit_reason, reply.retry_after_seconds) == ("rate_limited", 3600)


async def test_pause_beyond_the_calls_time_is_not_begun(desk: Desk) -> None:
    agent = desk.agent(Refuse(429, "slow down", 300), timeout_seconds=200)
    assert (await agent.run(desk.request())).exit_reason == "rate_limited"


async def test_fifty_megabytes_are_read_and_their_end_is_kept(desk: Desk) -> None:
    reply = await desk.call(Bulk(50 * 2**20, "<promise>DONE</promise>"))
    assert reply.exit_reason == "finished" and reply.text.endswith("<promise>DONE</promise>")
    assert "left out" in reply.text[:200] and len(reply.text) < 11 * 2**20
    assert len(desk.model.main) == 1


async def test_hanging_server_is_given_up(desk: Desk) -> None:
    reply = await desk.call(Say("x"), Hang(), request_timeout_seconds=0.3, retries=1)
    assert reply.exit_reason == "finished"
    agent = desk.agent(Hang(), request_timeout_seconds=0.3, retries=1)
    reply = await agent.run(desk.request(record=desk.record.with_name("second")))
    assert reply.exit_reason == "unreachable"
    assert reply.error is not None and "said nothing" in reply.error


async def test_time_out_keeps_what_was_said_and_leaves_no_process(desk: Desk) -> None:
    arguments = json.dumps({"command": "setsid sleep 600 & echo $! > pid"})
    said = {"content": "I begin.", "tool_calls": calling("bash", arguments)["tool_calls"]}
    agent = desk.agent(raw(said), Hang())
    reply = await agent.run(desk.request(timeout_seconds=patient(4.0)))
    assert (reply.exit_reason, reply.text, reply.num_turns) == ("timeout", "I begin.", 1)
    assert not alive(int((desk.workdir / "pid").read_text()))


def test_model_is_asked_for_its_last_word_before_the_time_is_up(tmp_path: Path) -> None:
    out = io.StringIO()
    events, clock = Events([], out), Clock(time.monotonic() + 60.0, reserve_seconds=59.0)
    with StubModel(Shell("sleep 600"), Say("so far")) as model:
        settings = LoopSettings(base_url=f"{model.url}/v1", model="stub")
        with (
            ModelClient(settings, Secrets(None, {}), clock, events) as client,
            ToolShell(tmp_path, os.environ, 2_000, clock) as shell,
        ):
            tools = Tools(shell, Files(tmp_path, False, 2_000), 900.0)
            final = ToolLoop(settings, client, tools, clock, events).run("Do it")
        assert (final.text, final.ended_by, final.steps) == ("so far", "time", 2)
        messages = model.main[-1].body["messages"]
    assert "its time was up" in messages[-2]["content"]
    assert messages[-1]["content"].startswith("Your time is nearly over.")


async def test_hanging_command_is_ended_and_the_work_goes_on(desk: Desk) -> None:
    arguments = json.dumps(
        {"command": "setsid sleep 600 & echo $! > pid; wait", "timeout_seconds": 1}
    )
    reply = await desk.call(raw(calling("bash", arguments)), Say("went on"))
    assert reply.text == "went on"
    assert "its time was up" in desk.sent()[-1]["content"]
    assert not alive(int((desk.workdir / "pid").read_text()))


async def test_what_runs_in_the_background_ends_with_the_call(desk: Desk) -> None:
    reply = await desk.call(
        Shell("(sleep 600) & echo $! > pid; setsid sleep 600 & echo $! > far; echo started"),
        Shell("kill -0 $(cat pid) $(cat far) && echo both live"),
        Say("done"),
    )
    assert reply.exit_reason == "finished"
    texts = [event["text"] for event in desk.events("output")]
    assert "started" in texts[0] and "in the background" in texts[0]
    assert texts[1] == "both live"
    for name in ("pid", "far"):
        assert not alive(int((desk.workdir / name).read_text()))


async def test_running_call_is_adopted_and_finished_once(desk: Desk) -> None:
    agent = desk.agent(Shell("echo >> n; until [ -e go ]; do sleep 0.05; done"), Say("adopted"))
    first = asyncio.create_task(agent.run(desk.request()))
    await until((desk.workdir / "n").exists, "the command runs")
    second = asyncio.create_task(agent.run(desk.request()))
    (desk.workdir / "go").touch()
    assert [(await first).text, (await second).text] == ["adopted", "adopted"]
    assert (await agent.run(desk.request())).text == "adopted"
    assert (desk.workdir / "n").read_text() == "\n" and len(desk.model.main) == 2


@pytest.mark.parametrize("how", ["stop", "cancel", "kill"])
async def test_end_from_outside_leaves_no_process(desk: Desk, how: str) -> None:
    agent = desk.agent(Shell("setsid sleep 600 & echo $! > pid; echo $PPID > loop; wait"))
    running = asyncio.create_task(agent.run(desk.request()))
    loop = desk.workdir / "loop"
    await until(lambda: loop.exists() and bool(loop.read_text()), "the command runs")
    match how:
        case "stop":
            await agent.stop(desk.record)
            assert (await running).exit_reason == "interrupted"
        case "cancel":
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        case "kill":
            os.kill(int(loop.read_text()), signal.SIGKILL)
            assert (await running).exit_reason == "failed"
    for path in (loop, desk.workdir / "pid"):
        assert not alive(int(path.read_text()))


async def test_steps_are_limited_and_the_last_is_without_tools(desk: Desk) -> None:
    reply = await desk.call(Shell("echo 1"), Shell("echo 2"), Say("in time"), max_steps=3)
    assert (reply.text, reply.exit_reason) == ("in time", "finished")
    assert desk.events("final")[0]["ended_by"] == "steps"
    assert desk.model.main[-1].body["tool_choice"] == "none"
    assert "You have no steps left" in desk.sent()[-1]["content"]


async def test_model_that_repeats_itself_is_told_and_then_ended(desk: Desk) -> None:
    answers = [Shell("echo same")] * 8
    reply = await desk.call(*answers, Say("I stop"))
    assert (reply.exit_reason, reply.text) == ("finished", "I stop")
    assert desk.events("final")[0]["ended_by"] == "repetition"
    outputs = [event["text"] for event in desk.events("output")]
    assert outputs[:2] == ["same", "same"] and "3 times of late" in outputs[2]
    assert len(outputs) == 8


async def test_empty_and_cut_answers_are_asked_for_anew(desk: Desk) -> None:
    reply = await desk.call(
        raw({"content": None}), raw({"content": "ha"}, reason="length"), Say("x")
    )
    assert reply.text == "x"
    notes = [message["content"] for message in desk.sent() if message["role"] == "user"]
    assert "was empty" in desk.sent(1)[-1]["content"] and "cut off" in notes[-1]


async def test_model_that_never_says_anything_has_failed(desk: Desk) -> None:
    reply = await desk.call(raw({"content": ""}))
    assert (reply.exit_reason, reply.text, len(desk.model.main)) == ("failed", "", 4)
    assert reply.error is not None and "no text at all" in reply.error


async def test_long_outputs_are_cut_and_old_ones_left_out(desk: Desk) -> None:
    shells = [Shell(f"seq {n} {n + 20000}") for n in range(6)]
    reply = await desk.call(*shells, Say("done"), context_tokens=4096)
    assert reply.text == "done"
    told = [m["content"] for m in desk.sent() if m["role"] == "tool"]
    assert "was left out to save room" in told[0]
    assert "characters left out ..." in told[-1] and told[-1].endswith("20005")
    assert any("old outputs" in event["text"] for event in desk.events("note"))
    assert sum(len(json.dumps(m)) for m in desk.sent()) < 4096 * 4


async def test_context_that_the_server_finds_too_long_is_shortened(desk: Desk) -> None:
    refusal = Refuse(400, "This model's maximum context length is 4096 tokens")
    reply = await desk.call(Shell("seq 9000"), Shell("seq 9000"), refusal, Say("fits"))
    assert reply.text == "fits"
    before, after = (sum(len(json.dumps(m)) for m in desk.sent(n)) for n in (-2, -1))
    assert after < before * 0.8


async def test_prompt_that_cannot_fit_names_the_setting(desk: Desk) -> None:
    agent = desk.agent(Say("x"), context_tokens=2048)
    reply = await agent.run(desk.request(prompt="word " * 20_000))
    assert reply.exit_reason == "failed" and "context_tokens" in (reply.error or "")
    assert not desk.model.main


async def test_refused_parts_of_a_request_are_left_out(desk: Desk) -> None:
    reply = await desk.call(
        Refuse(400, "Unknown parameter: stream_options"),
        Refuse(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        Refuse(400, "temperature does not support 0.5 with this model"),
        Refuse(400, "System role not supported"),
        Say("at last"),
        temperature=0.5,
        max_output_tokens=500,
    )
    assert reply.text == "at last"
    body = desk.model.main[-1].body
    assert body["max_completion_tokens"] == 500 and body["tools"]
    assert not {"stream_options", "max_tokens", "temperature"} & body.keys()
    assert [message["role"] for message in body["messages"]] == ["user"]


async def test_secrets_go_to_the_server_and_nowhere_else(desk: Desk) -> None:
    reply = await desk.call(
        Shell("env; echo $WILDLOOP_AUTH_TOKEN; printf %s $WILDLOOP_AUTH_TOKEN | md5sum > sum"),
        Shell(f"tr '\\0' '\\n' < /proc/$PPID/cmdline; echo {KEY} {HEADER}"),
        Say(f"the key is {KEY}"),
        api_key=SecretStr(KEY),
        extra_headers={"X-Gateway": SecretStr(HEADER)},
    )
    assert reply.text == f"the key is {'*' * len(KEY)}"
    request = desk.model.main[0]
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["X-Gateway"] == HEADER
    stored = b"".join(p.read_bytes() for p in desk.record.parent.rglob("*") if p.is_file())
    asked = json.dumps([desk.sent(number) for number in range(2)] + [desk.sent()[-1]])
    for secret in (KEY, HEADER, TOKEN):
        assert secret.encode() not in stored
    assert TOKEN not in asked and "TOOL_LOOP_API_KEY" not in asked
    assert (desk.workdir / "sum").read_text() != "d41d8cd98f00b204e9800998ecf8427e  -\n"
    assert "wildloop.blocks.agents.tool_loop" in desk.events("output")[1]["text"]


async def test_key_of_the_workers_environment_is_used(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_MODEL_KEY", KEY)
    agent = desk.agent(Shell("env"), Say("x"), api_key_variable="MY_MODEL_KEY")
    await agent.run(desk.request())
    assert desk.model.main[0].headers["Authorization"] == f"Bearer {KEY}"
    assert "MY_MODEL_KEY" not in desk.events("output")[0]["text"]


async def test_short_lines_tell_what_happens(desk: Desk) -> None:
    agent = desk.agent(Shell("exit 3"), Refuse(503, "busy"), Say("Done.\nmore"))
    await agent.run(desk.request())
    lines = [line async for line in agent.follow(desk.record)]
    assert lines[0] == "tool loop started, model stub" and lines[1].startswith("bash: {")
    assert lines[2] == "exit code 3" and "busy" in lines[3]
    assert lines[4:] == ["Done.", "ended by the model after 2 steps"]


async def test_check_asks_the_server(desk: Desk) -> None:
    agent = desk.agent()
    assert await agent.check(desk.workdir) == f"model stub at {desk.model.url}/v1"
    other = agent.model_copy(update={"model": "gone"})
    assert (await other.check(desk.workdir)).endswith("(which it does not list: stub)")


async def test_check_says_that_no_server_answers(desk: Desk) -> None:
    agent = OpenAICompatible(model="x", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(AgentUnavailable, match=r"no server answers at 'http://127.0.0.1:9/v1'"):
        await agent.check(desk.workdir)


@pytest.mark.parametrize(
    ("name", "model", "url"),
    [
        ("openai:qwen3:32b@http://127.0.0.1:1/v1/", "qwen3:32b", "http://127.0.0.1:1/v1"),
        ("openai:a/b@c@https://x.example/v1", "a/b@c", "https://x.example/v1"),
        ("openai: gpt-5 ", "gpt-5", "https://api.openai.com/v1"),
    ],
)
async def test_name_gives_model_and_url(name: str, model: str, url: str) -> None:
    agent = await load_agent(name)
    assert isinstance(agent, OpenAICompatible) and (agent.model, agent.base_url) == (model, url)
    assert OpenAICompatible in AGENT_BLOCKS


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openai:", "names no model"),
        ("openai:@http://x/v1", "names no model"),
        ("openai:http://x/v1", "names no model"),
        ("openai:m@http://", "base_url"),
        ("openai:m@http://me:secret-word@x/v1", "without user"),
    ],
)
async def test_name_that_cannot_be_is_refused(name: str, said: str) -> None:
    with pytest.raises(AgentUnavailable, match=said) as caught:
        await load_agent(name)
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"base_url": "localhost:8000"},
        {"base_url": "http://x/v1?key=1"},
        {"model": ""},
        {"temperature": 3},
        {"max_steps": 0},
        {"context_tokens": 10},
        {"extra_headers": {"bad name": "x"}},
        {"extra_headers": {"X-Key": "two\nlines"}},
        {"extra_arguments": ["--x"]},
        {"api_key_variable": "no name"},
    ],
)
def test_bad_field_is_refused_with_its_name(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        OpenAICompatible.model_validate({"model": "m"} | fields)


def test_form_explains_every_field_and_hides_secrets() -> None:
    schema = OpenAICompatible.model_json_schema()
    for name, field in schema["properties"].items():
        assert field["title"] and field["description"], name
    assert {"api_key", "extra_headers"} <= set(schema["secret_fields"])
    agent = OpenAICompatible(
        model="m", api_key=SecretStr(KEY), extra_headers={"X": SecretStr(HEADER)}
    )
    shown = repr(agent) + agent.model_dump_json() + agent.command_line()
    assert KEY not in shown and HEADER not in shown
