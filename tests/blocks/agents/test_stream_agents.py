"""Agents that print events: what becomes of a call, told from the files it leaves."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from tests.support.fake_cli import (
    Event,
    claude_error,
    claude_result,
    claude_text,
    fake_cli,
    says,
    times_called,
)
from tests.support.pace import patient
from tests.support.server import alive
from tests.support.waiting import until
from wildloop.blocks.agents import process, stream_agent, version
from wildloop.blocks.agents.base import AgentReply, AgentRequest, AgentUnavailable
from wildloop.blocks.agents.claude_code import ClaudeCode
from wildloop.blocks.agents.codex import Codex
from wildloop.blocks.agents.opencode import OpenCode
from wildloop.blocks.agents.prices import Price
from wildloop.blocks.agents.stream_agent import StreamAgent

DEADLINE_S = 20.0
TOKEN = "token-0123456789"
REFUSED = says(claude_error("API Error: slow down", 429), code=1)
KINDS = [ClaudeCode, OpenCode, Codex]


class Bench:
    """A project, a record, and a Claude Code whose program is a fake."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workdir = root / "a projekt ü"
        self.workdir.mkdir()
        self.record = root / "processes" / "iteration-01.1"
        self.program = root / "bin" / "fake-cli"

    def agent(self, *calls: str, **fields: Any) -> ClaudeCode:
        fake_cli(self.program.parent, *calls)
        fields = {"backoff_seconds": 0.01, **fields}
        return ClaudeCode.model_validate({"executable": str(self.program), **fields})

    def request(self, **changes: Any) -> AgentRequest:
        values = {
            "prompt": "Do it",
            "workdir": self.workdir,
            "timeout_seconds": DEADLINE_S,
            "record": self.record,
        }
        return AgentRequest.model_validate(values | changes)

    async def call(self, *calls: str, **fields: Any) -> AgentReply:
        request = self.request(timeout_seconds=patient(DEADLINE_S))
        return await self.agent(*calls, **fields).run(request)

    async def lines(self) -> list[str]:
        return [line async for line in ClaudeCode().follow(self.record)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_reply_is_read_from_the_stream(bench: Bench) -> None:
    events = [claude_text("thinking aloud"), claude_text("last", "m2"), claude_result("last")]
    reply = await bench.call(says(*events))
    assert (reply.text, reply.exit_reason, reply.error) == ("last", "finished", None)
    assert (reply.cost_usd, reply.cost_is_estimate, reply.num_turns) == (0.5, False, 2)
    assert reply.usage == {"input": 1000, "output": 200, "cache_read": 500, "cache_write": 0}
    assert reply.transcript_path == bench.record / "events.jsonl"
    assert (bench.record / "prompt.md").read_text() == "Do it"


async def test_prompt_comes_on_stdin_in_the_workdir(bench: Bench) -> None:
    result = json.dumps(claude_result("X"))
    body = f"event = {json.loads(result)!r}; event['result'] = prompt + os.getcwd(); say(event)"
    reply = await bench.call(body)
    assert reply.text == f"Do it{bench.workdir}"


async def test_finished_call_is_read_again_and_not_repeated(bench: Bench) -> None:
    agent = bench.agent(says(claude_result("once")))
    first = await agent.run(bench.request())
    assert await agent.run(bench.request()) == first
    assert times_called(bench.program) == 1


async def test_time_out_keeps_text_tokens_and_an_estimate_of_the_cost(bench: Bench) -> None:
    body = says(claude_text("so far")).replace("sys.exit(0)", "time.sleep(600)")
    reply = await bench.call(body, timeout_seconds=patient(1.0))
    assert (reply.exit_reason, reply.text) == ("timeout", "so far")
    assert reply.usage["input"] == 1000
    assert reply.cost_is_estimate
    assert reply.cost_usd == pytest.approx((1000 * 5 + 100 * 25 + 500 * 0.5) / 1e6)


async def test_shorter_of_the_two_time_outs_counts(bench: Bench) -> None:
    agent = bench.agent("time.sleep(600)", timeout_seconds=600)
    reply = await agent.run(bench.request(timeout_seconds=0.5))
    assert reply.exit_reason == "timeout"


async def test_own_price_makes_the_estimate(bench: Bench) -> None:
    price = Price(input=1000, output=0, cache_read=0)
    body = says(claude_text("so far"), code=1)
    assert (await bench.call(body, price=price)).cost_usd == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (claude_error("API Error: slow down", 429), "rate_limited"),
        (claude_error("Unable to connect to API (ECONNRESET)"), "unreachable"),
        (claude_error("API Error: 529 overloaded", 529), "unreachable"),
        (claude_error("Failed to authenticate. API Error: 401 bad key", 401), "failed"),
        ({"type": "result", "subtype": "error_max_turns", "is_error": False}, "failed"),
    ],
)
async def test_errors_of_the_api_are_told_apart(bench: Bench, event: Event, reason: str) -> None:
    reply = await bench.call(says(claude_text("half"), event, code=1), retries=0)
    assert (reply.exit_reason, reply.text) == (reason, "half")
    assert reply.error == (event.get("result") or "error_max_turns")


async def test_failure_without_events_tells_what_stderr_said(bench: Bench) -> None:
    reply = await bench.call("sys.exit('no such option --x')")
    assert reply.exit_reason == "failed"
    assert reply.error is not None and "no such option --x" in reply.error


async def test_garbage_on_stdout_is_a_failure_that_quotes_it(bench: Bench) -> None:
    body = "sys.stdout.buffer.write(b'\\xff\\n\\x00\\n'); print('Please log in')"
    reply = await bench.call(body)
    assert (reply.exit_reason, reply.text) == ("failed", "")
    assert reply.error == "Please log in"


async def test_end_without_a_result_is_a_failure(bench: Bench) -> None:
    reply = await bench.call(says(claude_text("half")))
    assert (reply.exit_reason, reply.text) == ("failed", "half")
    assert reply.error == "the tool ended without an answer"


async def test_field_of_an_unknown_form_costs_nothing_else(bench: Bench) -> None:
    event = claude_result("fine") | {"error": {"new": "form"}, "api_error_status": "none"}
    reply = await bench.call(says({"type": 7}, {"new": 1}, event))
    assert (reply.exit_reason, reply.text, reply.cost_usd) == ("finished", "fine", 0.5)


async def test_words_of_a_subagent_are_not_the_reply(bench: Bench) -> None:
    sub = claude_text("inner", "m2") | {"parent_tool_use_id": "toolu_1"}
    reply = await bench.call(says(claude_text("outer"), sub), retries=0)
    assert reply.text == "outer"
    assert reply.usage["input"] == 2000


async def test_call_that_was_rate_limited_is_made_again(bench: Bench) -> None:
    reply = await bench.call(REFUSED, REFUSED, says(claude_result("at last")))
    assert (reply.exit_reason, reply.text) == ("finished", "at last")
    assert times_called(bench.program) == 3
    assert (bench.record / "retry-02" / "events.jsonl") == reply.transcript_path
    assert (bench.record / "retry-01" / "prompt.md").read_text() == "Do it"


async def test_attempts_are_counted_together_and_later_ones_are_warned(bench: Bench) -> None:
    cut = says(claude_text("half"), claude_error("API Error: 503", 503), code=1)
    reply = await bench.call(cut, says(claude_result("whole")))
    assert (reply.text, reply.usage["output"]) == ("whole", 300)
    prompt = (bench.record / "retry-01" / "prompt.md").read_text()
    assert prompt.startswith("An earlier attempt") and prompt.endswith("Do it")


async def test_retries_come_to_an_end(bench: Bench) -> None:
    reply = await bench.call(REFUSED, retries=2)
    assert (reply.exit_reason, times_called(bench.program)) == ("rate_limited", 3)


async def test_failure_that_waiting_does_not_mend_is_not_repeated(bench: Bench) -> None:
    await bench.call(says(claude_error("bad key", 401), code=1))
    assert times_called(bench.program) == 1


@pytest.mark.parametrize("unit", [1, 1000])
async def test_long_rate_limit_is_reported_with_its_reset(bench: Bench, unit: int) -> None:
    resets_at = time.time() + 3600
    info = {"status": "rejected", "resetsAt": int(resets_at * unit)}
    limit = {"type": "rate_limit_event", "rate_limit_info": info}
    reply = await bench.call(says(limit, claude_error("You've hit your limit", 429), code=1))
    assert (reply.exit_reason, times_called(bench.program)) == ("rate_limited", 1)
    assert reply.retry_after_seconds == pytest.approx(3600, abs=30)


async def test_call_is_taken_up_in_the_pause_between_two_attempts(bench: Bench) -> None:
    agent = bench.agent(REFUSED, says(claude_result("later")), retries=0)
    assert (await agent.run(bench.request())).exit_reason == "rate_limited"
    reply = await agent.model_copy(update={"retries": 3}).run(bench.request())
    assert (reply.text, times_called(bench.program)) == ("later", 2)


async def test_running_attempt_is_adopted(bench: Bench) -> None:
    slow = "import pathlib\nwhile not pathlib.Path('go').exists(): time.sleep(0.01)\n"
    agent = bench.agent(REFUSED, slow + says(claude_result("adopted")))
    first = asyncio.create_task(agent.run(bench.request()))
    await until(lambda: times_called(bench.program) == 2, "the second attempt runs")
    second = asyncio.create_task(agent.run(bench.request()))
    (bench.workdir / "go").touch()
    assert [(await first).text, (await second).text] == ["adopted", "adopted"]
    assert times_called(bench.program) == 2


async def test_stop_ends_a_call_that_pauses(bench: Bench) -> None:
    agent = bench.agent(REFUSED, says(claude_result("never")), backoff_seconds=500)
    running = asyncio.create_task(agent.run(bench.request()))
    await until((bench.record / "exit_code").exists, "the first attempt has ended")
    await agent.stop(bench.record)
    assert (await running).exit_reason == "interrupted"
    assert (await agent.run(bench.request())).exit_reason == "interrupted"
    assert times_called(bench.program) == 1


async def test_cancelling_a_pause_is_final(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    pausing, rest = asyncio.Event(), stream_agent.rest

    async def told_rest(*arguments: Any) -> bool:
        pausing.set()
        return await rest(*arguments)

    monkeypatch.setattr(stream_agent, "rest", told_rest)
    agent = bench.agent(REFUSED, says(claude_result("never")), backoff_seconds=500)
    running = asyncio.create_task(agent.run(bench.request()))
    async with asyncio.timeout(patient(20)):
        await pausing.wait()
    # One turn of the loop, in which the pause begins.
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (await agent.run(bench.request())).exit_reason == "interrupted"


async def test_stop_in_mid_call_leaves_no_process(bench: Bench) -> None:
    body = (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "print(child.pid, file=open('pid', 'w'), flush=True)\ntime.sleep(600)"
    )
    agent = bench.agent(body)
    running = asyncio.create_task(agent.run(bench.request()))
    pid = bench.workdir / "pid"
    await until(lambda: pid.exists() and bool(pid.read_text()), "the child runs")
    await agent.stop(bench.record)
    assert (await running).exit_reason == "interrupted"
    assert not alive(int(pid.read_text()))


async def test_stop_of_an_unknown_call_does_nothing(bench: Bench) -> None:
    await ClaudeCode().stop(bench.record)
    assert not bench.record.exists()


async def test_silent_call_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "WATCH_SECONDS", 0.05)
    body = says(claude_text("one word")).replace("sys.exit(0)", "time.sleep(600)")
    reply = await bench.call(body, silence_seconds=patient(0.5))
    assert (reply.exit_reason, reply.text) == ("timeout", "one word")
    assert reply.error is not None and "said nothing" in reply.error


async def test_tool_asleep_over_a_fault_is_ended_and_the_call_made_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(stream_agent, "LEAST_PATIENCE_SECONDS", 0.3)
    retry = {"type": "system", "subtype": "api_retry", "error_status": 529, "error": "overloaded"}
    asleep = says(claude_text("half"), retry).replace("sys.exit(0)", "time.sleep(600)")
    first = bench.agent(asleep, retries=0, longest_pause_seconds=0)
    reply = await first.run(bench.request())
    assert (reply.exit_reason, reply.text) == ("unreachable", "half")
    assert reply.error is not None and "529" in reply.error and "said nothing" in reply.error
    again = bench.agent(asleep, says(claude_result("whole")), longest_pause_seconds=0.01)
    bench.program.with_name("calls").unlink()
    reply = await again.run(bench.request(record=bench.record.with_name("second")))
    assert (reply.exit_reason, reply.text) == ("finished", "whole")


async def test_fault_that_was_mended_does_not_end_a_quiet_call(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(stream_agent, "LEAST_PATIENCE_SECONDS", 0.1)
    retry = {"type": "system", "subtype": "api_retry", "error_status": 529, "error": "overloaded"}
    quiet = says(retry, claude_text("now")).replace("sys.exit(0)", "time.sleep(600)")
    reply = await bench.call(quiet, longest_pause_seconds=0, timeout_seconds=patient(1.5))
    assert (reply.exit_reason, reply.text) == ("timeout", "now")


async def test_call_that_goes_on_speaking_is_not_silent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "WATCH_SECONDS", 0.05)
    silence = patient(2.0)
    body = f"for _ in range(12):\n    say({{'type': 'x'}})\n    time.sleep({silence / 10})\n"
    body += says(claude_result("done"))
    agent = bench.agent(body, silence_seconds=silence, timeout_seconds=60 * silence)
    reply = await agent.run(bench.request(timeout_seconds=60 * silence))
    assert reply.exit_reason == "finished", reply.error


async def test_tool_that_goes_round_in_circles_is_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "WATCH_SECONDS", 0.05)
    step = {"type": "step_finish", "part": {"reason": "unknown", "tokens": {}}}
    fake_cli(bench.program.parent, f"while True:\n    say({step!r})\n    time.sleep(0.01)")
    agent = OpenCode(executable=str(bench.program), retries=0)
    reply = await agent.run(bench.request())
    assert reply.exit_reason == "unreachable"
    assert reply.error is not None and "cut off" in reply.error


async def test_reply_of_fifty_megabytes_is_kept_whole_and_read_from_its_end(bench: Bench) -> None:
    body = (
        "text = '0123456789abcde\\n' * (50 * 65536) + '<promise>DONE</promise>'\n"
        f"say({claude_text('x')!r} | {{'message': {{'id': 'm', 'content': text}}}})\n"
        f"say({claude_result('x')!r} | {{'result': text}})"
    )
    reply = await bench.call(body)
    assert reply.exit_reason == "finished", reply.error
    assert reply.text.endswith("<promise>DONE</promise>")
    assert "bytes were left out]" in reply.text[:100]
    assert len(reply.text) < 11 * 2**20
    assert (bench.record / "events.jsonl").stat().st_size > 100 * 2**20


async def test_short_lines_tell_what_the_agent_does(bench: Bench) -> None:
    tool = {"type": "tool_use", "name": "Bash", "input": {"command": "pytest -q\nls"}}
    call = {"type": "assistant", "message": {"id": "m2", "content": [tool]}}
    init = {"type": "system", "subtype": "init", "model": "opus"}
    events = [init, claude_text("First line\nsecond"), call, claude_result("ok")]
    await bench.call(REFUSED, says(*events))
    assert await bench.lines() == [
        "error: API Error: slow down",
        "attempt 2",
        "Claude Code started, model opus",
        "First line",
        "Bash: pytest -q",
        "ended after 2 turns, 0.5000 USD",
    ]


async def test_follower_sees_lines_while_the_call_runs(bench: Bench) -> None:
    body = says(claude_text("early")).replace("sys.exit(0)", "time.sleep(600)")
    agent = bench.agent(body)
    lines = agent.follow(bench.record)
    running = asyncio.create_task(agent.run(bench.request()))
    async with asyncio.timeout(patient(DEADLINE_S)):
        assert await anext(lines) == "early"
        await agent.stop(bench.record)
        assert [line async for line in lines] == []
    assert (await running).exit_reason == "interrupted"


async def test_secrets_reach_the_tool_and_no_file(bench: Bench) -> None:
    body = (
        "words = [os.environ[name] for name in ('WILDLOOP_AUTH_TOKEN', 'MY_API_KEY')]\n"
        f"say({claude_text('x')!r})\n"
        f"say({claude_result('x')!r} | {{'result': ' '.join(words)}})\n"
        "print(*words, file=sys.stderr)\n"
        "print(open('/proc/self/cmdline').read(), file=sys.stderr)"
    )
    agent = bench.agent(body, environment={"MY_API_KEY": SecretStr("key-0123456789")})
    reply = await agent.run(bench.request(env={"WILDLOOP_AUTH_TOKEN": TOKEN}))
    assert reply.text == f"{'*' * len(TOKEN)} {'*' * 14}"
    stored = b"".join(p.read_bytes() for p in bench.record.rglob("*") if p.is_file())
    assert TOKEN.encode() not in stored and b"key-0123456789" not in stored
    assert b"stream-json" in (bench.record / "stderr.log").read_bytes()


@pytest.mark.parametrize(
    ("kind", "kept"),
    [
        (ClaudeCode, {"ANTHROPIC_API_KEY", "ANTHROPIC_MODEL", "CLAUDE_CONFIG_DIR"}),
        (Codex, {"OPENAI_API_KEY", "CODEX_HOME", "CODEX_API_KEY"}),
        (OpenCode, {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENCODE_CONFIG"}),
    ],
)
def test_each_tool_gets_its_own_keys(
    kind: type[StreamAgent], kept: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {
        *("ANTHROPIC_API_KEY", "ANTHROPIC_MODEL", "CLAUDE_CONFIG_DIR", "CLAUDE_CODE_SESSION_ID"),
        *("OPENAI_API_KEY", "CODEX_HOME", "CODEX_API_KEY", "OPENCODE_CONFIG"),
        *("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PREFECT_API_KEY", "WILDLOOP_AUTH_TOKEN"),
    }
    for name in names:
        monkeypatch.setenv(name, "v")
    assert names & set(kind(executable="x").kept_variables()) == kept
    more = kind(executable="x", pass_variables=["GITHUB_TOKEN"])
    assert "GITHUB_TOKEN" in more.kept_variables()


@pytest.mark.parametrize("logged_in", [True, False])
def test_codex_prefers_its_login_to_a_key_that_lies_about(
    logged_in: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    monkeypatch.delenv("CODEX_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "around")
    if logged_in:
        (tmp_path / "auth.json").write_text("{}")
    assert ("CODEX_API_KEY" in Codex().variables()) is not logged_in
    own = Codex(environment={"OPENAI_API_KEY": SecretStr("mine")})
    assert own.variables()["CODEX_API_KEY"] == "mine"


@pytest.mark.parametrize("kind", KINDS)
async def test_missing_tool_is_said_with_its_installation(
    kind: type[StreamAgent], tmp_path: Path
) -> None:
    with pytest.raises(AgentUnavailable, match=r"'gone' is not on .* `npm install -g "):
        await kind(executable="gone").check(tmp_path)


async def test_check_tells_the_version(bench: Bench) -> None:
    said = await bench.agent("", model="opus").check(bench.workdir)
    assert said == f"1.2.3 (Fake) ({bench.program}), model opus"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo broken >&2; exit 3", "exit code 3: broken"),
        ("sleep 600 & sleep 600", "did not answer within 0.5 s"),
    ],
)
async def test_check_of_a_broken_tool(
    bench: Bench, script: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(version, "VERSION_SECONDS", 0.5)
    bench.agent("")
    bench.program.write_text(f"#!/bin/sh\n{script}\n")
    with pytest.raises(AgentUnavailable, match=said):
        await ClaudeCode(executable=str(bench.program)).check(bench.workdir)


@pytest.mark.parametrize("kind", KINDS)
def test_forms_explain_every_field_and_hide_secrets(kind: type[StreamAgent]) -> None:
    schema = kind.model_json_schema()
    assert "environment" in schema["secret_fields"][0]
    for name, field in schema["properties"].items():
        assert field["title"] and field["description"], name
    agent = kind.model_validate({"environment": {"KEY": "hidden-value"}})
    assert "hidden-value" not in repr(agent) + agent.model_dump_json() + agent.command_line()
    assert kind.get_description()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ClaudeCode, {"retries": -1}),
        (ClaudeCode, {"permission_mode": "everything"}),
        (ClaudeCode, {"base_url": "llm.example.org"}),
        (ClaudeCode, {"executable": ""}),
        (Codex, {"sandbox": "some"}),
        (Codex, {"api_key_variable": "not a name"}),
        (OpenCode, {"model": "no-provider"}),
        (OpenCode, {"timeout_seconds": 0}),
    ],
)
def test_bad_field_is_refused_by_name(kind: type[StreamAgent], fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(fields))):
        kind.model_validate(fields)


def test_os_environ_is_left_alone() -> None:
    before = dict(os.environ)
    Codex(base_url="http://x/v1").command_line()
    assert dict(os.environ) == before
