"""Agents that are commands: replies, failures, time-outs, adoption, cancellation."""

import asyncio
import os
import shlex
import sys
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr, ValidationError

from tests.support.pace import patient
from tests.support.waiting import until
from wildloop.blocks.agents import process as module
from wildloop.blocks.agents.base import Agent, AgentReply, AgentRequest, AgentUnavailable
from wildloop.blocks.agents.baseline_block import BaselineAgent
from wildloop.blocks.agents.command import CommandAgent, first_word
from wildloop.blocks.agents.process import read_reply

DEADLINE_S = 20.0


def is_dead(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Project:
    """A project folder and requests to agents in it."""

    def __init__(self, root: Path) -> None:
        self.workdir = root / "a project"
        self.workdir.mkdir()
        self.record = root / "processes" / "iteration-01.1"

    def request(self, prompt: str = "hello", **changes: object) -> AgentRequest:
        values: dict[str, object] = {
            "prompt": prompt,
            "workdir": self.workdir,
            "timeout_seconds": DEADLINE_S,
            "record": self.record,
        }
        return AgentRequest.model_validate(values | changes)

    async def pid(self, name: str = "pid") -> int:
        path = self.workdir / name
        await until(lambda: path.exists() and path.read_text().endswith("\n"), f"{name} is there")
        return int(path.read_text())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


async def call(project: Project, command: str, **changes: object) -> AgentReply:
    return await CommandAgent(command=command).run(project.request(**changes))  # type: ignore[arg-type]


async def test_reply_is_what_the_command_prints_on_stdout(project: Project) -> None:
    reply = await call(project, "cat; echo noise >&2; pwd", prompt="grüße\n")
    assert reply.text == f"grüße\n{project.workdir}\n"
    assert (reply.exit_reason, reply.exit_code, reply.error) == ("finished", 0, None)
    assert reply.transcript_path == project.record / "reply.txt"
    assert (project.record / "prompt.md").read_text() == "grüße\n"
    assert (project.record / "stderr.log").read_text() == "noise\n"
    assert reply.duration_seconds >= 0


async def test_prompt_of_any_size_never_comes_on_the_command_line(project: Project) -> None:
    reply = await call(project, "wc -c; tr '\\0' ' ' < /proc/$PPID/cmdline", prompt="x" * 1_000_000)
    assert reply.text.split()[0] == "1000000"
    assert "xxxx" not in reply.text


async def test_failure_keeps_the_text_and_the_last_error_lines(project: Project) -> None:
    reply = await call(project, "echo half; seq 1 20 >&2; exit 3")
    assert (reply.exit_reason, reply.exit_code, reply.text) == ("failed", 3, "half\n")
    assert reply.error == "exit code 3: 16 / 17 / 18 / 19 / 20"


async def test_of_a_traceback_only_the_exception_is_told(project: Project) -> None:
    reply = await call(project, "echo loading >&2; python3 -c 'assert 1 + 1 == 3, \"sums\"'")
    assert reply.error == "exit code 1: loading / AssertionError: sums"


async def test_unknown_command_is_a_failure(project: Project) -> None:
    reply = await call(project, "no-such-agent-anywhere")
    assert (reply.exit_reason, reply.exit_code) == ("failed", 127)
    assert reply.error is not None and "no-such-agent-anywhere" in reply.error


async def test_missing_workdir_is_a_failure(project: Project) -> None:
    reply = await call(project, "cat", workdir=project.workdir / "gone")
    assert reply.exit_reason == "failed"
    assert reply.error is not None and "gone" in reply.error


async def test_time_out_ends_the_whole_tree_and_keeps_the_text(project: Project) -> None:
    command = "echo so far; setsid sleep 600 & echo $! > pid; sleep 600"
    seconds = round(patient(0.5), 1)
    reply = await call(project, command, timeout_seconds=seconds)
    assert (reply.exit_reason, reply.text) == ("timeout", "so far\n")
    assert reply.error is not None and f"{seconds:g} s" in reply.error
    assert is_dead(await project.pid())
    again = await call(project, "echo another")
    assert (again.exit_reason, again.text) == ("timeout", "so far\n")


async def test_cancelling_ends_the_whole_tree_first(project: Project) -> None:
    command = "sleep 600 & echo $! > pid; wait"
    running = asyncio.create_task(call(project, command))
    pid = await project.pid()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert is_dead(pid)
    assert (await call(project, "echo another")).exit_reason == "interrupted"


async def test_cancelling_at_once_leaves_no_process(project: Project) -> None:
    running = asyncio.create_task(call(project, "sleep 600"))
    await until(project.record.exists, "the call has begun")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    marked = [p for p in psutil.process_iter() if _cwd(p) == str(project.workdir)]
    assert marked == []


def _cwd(process: psutil.Process) -> str | None:
    try:
        return process.cwd()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None


async def test_second_call_with_a_record_adopts_the_process(project: Project) -> None:
    command = "echo $$ >> pids; until [ -e go ]; do sleep 0.01; done; echo done"
    first = asyncio.create_task(call(project, command))
    await until((project.workdir / "pids").exists, "the first call has begun")
    second = asyncio.create_task(call(project, command))
    (project.workdir / "go").touch()
    assert [(await first).text, (await second).text] == ["done\n", "done\n"]
    assert (await call(project, "echo another")).text == "done\n"
    assert len((project.workdir / "pids").read_text().splitlines()) == 1


async def test_call_left_in_the_middle_of_its_ending_is_ended(project: Project) -> None:
    first = asyncio.create_task(call(project, "echo $$ > pid; sleep 600"))
    pid = await project.pid()
    (project.record / "ended").write_text("interrupted")
    reply = await call(project, "echo another")
    assert reply.exit_reason == "interrupted" and is_dead(pid)
    assert (await first).exit_reason == "interrupted"


async def test_stop_interrupts_a_call(project: Project) -> None:
    running = asyncio.create_task(call(project, "echo $$ > pid; sleep 600"))
    await project.pid()
    await BaselineAgent().stop(project.record)
    assert (await running).exit_reason == "interrupted"
    await BaselineAgent().stop(project.record / "nothing")


async def test_killed_process_is_interrupted(project: Project) -> None:
    reply = await call(project, "kill -9 $PPID; sleep 0.01")
    assert (reply.exit_reason, reply.exit_code) == ("interrupted", None)


async def test_processes_left_behind_are_ended_with_the_call(project: Project) -> None:
    reply = await call(project, "sleep 600 & echo $! > pid; echo done")
    assert reply.exit_reason == "finished"
    assert is_dead(await project.pid())


async def test_output_that_is_no_text_is_replaced(project: Project) -> None:
    assert (await call(project, r"printf 'a\xff\xfeb'")).text == "a\ufffd\ufffdb"


def test_overlong_reply_is_read_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPLY_LIMIT_BYTES", 10)
    path = tmp_path / "reply.txt"
    path.write_text("0123456789<promise>")
    assert read_reply(path).endswith("\n9<promise>"[-11:])
    assert read_reply(path).startswith("[the first 9 bytes")
    assert read_reply(tmp_path / "missing") == ""


async def test_agent_sees_no_secret_of_the_worker(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_KEY", "leak-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "leak-2")
    monkeypatch.setenv("WILDLOOP_AUTH_TOKEN", "leak-3")
    monkeypatch.setenv("MODEL_API_KEY", "wanted-1")
    agent = CommandAgent(
        command="env > seen",
        environment={"OWN": SecretStr("wanted-2")},
        pass_variables=["MODEL_API_KEY"],
    )
    await agent.run(project.request(env={"WILDLOOP_SESSION_ID": "wanted-3"}))
    seen = (project.workdir / "seen").read_text()
    assert "leak" not in seen
    assert all(f"wanted-{number}" in seen for number in (1, 2, 3))


async def test_secrets_that_the_agent_prints_are_not_kept(project: Project) -> None:
    agent = CommandAgent(
        command="echo $A_KEY; echo $A_KEY >&2; false", environment={"A_KEY": SecretStr("key-98765")}
    )
    reply = await agent.run(project.request())
    kept = [path.read_text() for path in project.record.iterdir() if path.is_file()]
    assert "key-98765" not in "".join([reply.text, reply.error or "", *kept])
    assert "*********" in reply.text


def test_secrets_of_a_block_are_not_shown() -> None:
    agent = CommandAgent.model_validate({"command": "x", "environment": {"KEY": "s3cr3t-1"}})
    assert "s3cr3t-1" not in repr(agent) + agent.model_dump_json()
    schema = CommandAgent.model_json_schema()
    assert schema["secret_fields"] == ["environment"]
    for field in schema["properties"].values():
        assert field["title"] and field["description"]


@pytest.mark.parametrize("command", ["", "  "])
def test_block_needs_a_command(command: str) -> None:
    with pytest.raises(ValidationError, match="command"):
        CommandAgent(command=command)


@pytest.mark.parametrize(
    "command",
    [
        "cat",
        shlex.quote(sys.executable) + " -c pass",
        "./here.sh --flag",
        "FOO='a b' exec env BAR=1 cat -u",
        "cd sub && cat",
        "(cd sub; cat)",
        "if true; then cat; fi",
        '"$MY_AGENT" --x',
    ],
)
async def test_check_accepts_what_bash_would_run(project: Project, command: str) -> None:
    (project.workdir / "here.sh").write_text("#!/bin/sh\n")
    (project.workdir / "here.sh").chmod(0o755)
    assert command in await CommandAgent(command=command).check(project.workdir)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-agent --x", "'no-such-agent' is neither on PATH"),
        ("A=1 no-such-agent", "'no-such-agent' is neither on PATH"),
        ("./gone.sh", "'./gone.sh' is neither on PATH"),
        ("echo 'open", "not valid bash"),
        ("if cat", "not valid bash"),
    ],
)
async def test_check_names_what_is_missing(project: Project, command: str, said: str) -> None:
    with pytest.raises(AgentUnavailable, match=said):
        await CommandAgent(command=command).check(project.workdir)


async def test_check_of_a_missing_workdir_is_refused(project: Project) -> None:
    with pytest.raises(AgentUnavailable, match="gone"):
        await CommandAgent(command="cat").check(project.workdir / "gone")


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("a b", "a"),
        ("X=1 a", "a"),
        ("$A", None),
        ("", None),
        ("'", None),
        ("(a;b)", "a"),
        ("env -i a", None),
    ],
)
def test_first_word(command: str, word: str | None) -> None:
    assert first_word(command) == word


async def test_baseline_needs_a_project_file(project: Project) -> None:
    with pytest.raises(AgentUnavailable, match=r"wildloop\.toml"):
        await BaselineAgent().check(project.workdir)
    (project.workdir / "wildloop.toml").touch()
    assert "baseline" in await BaselineAgent().check(project.workdir)


async def test_baseline_is_run_by_this_interpreter(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = f"#!/bin/sh\necho \"$@\"\nexec {shlex.quote(sys.executable)} -c 'import os'\n"
    interpreter = project.workdir / "py thon"
    interpreter.write_text(shown)
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    reply = await BaselineAgent().run(project.request())
    assert reply.text == "-P -E -m wildloop.blocks.agents.baseline\n"


@pytest.mark.parametrize("agent", [CommandAgent(command="cat"), BaselineAgent()])
def test_agents_are_blocks_with_a_description(agent: Agent) -> None:
    assert agent.get_block_type_slug().startswith("wildloop-")
    assert agent.get_description()


def test_os_environ_is_not_changed_by_calls() -> None:
    assert "WILDLOOP_LAUNCH_ID" not in os.environ


async def test_rate_limit_of_a_command_is_no_failure(project: Project) -> None:
    command = "echo 'Error: 429 Too Many Requests, try again in 2 minutes' >&2; exit 1"
    reply = await call(project, command)
    assert (reply.exit_reason, reply.retry_after_seconds) == ("rate_limited", 120)
    assert reply.error == "Error: 429 Too Many Requests, try again in 2 minutes"


async def test_limit_that_a_command_prints_as_its_reply_is_no_reply(project: Project) -> None:
    reply = await call(project, 'echo "You\'ve hit your limit, it resets in 2 minutes"')
    assert (reply.exit_reason, reply.retry_after_seconds) == ("rate_limited", 120)
    assert (reply.text, reply.exit_code) == ("", 0)
    assert (project.record / "reply.txt").read_text().startswith("You've hit")


async def test_absent_network_of_a_command_is_no_failure(project: Project) -> None:
    reply = await call(project, "echo thinking; echo 'fetch failed: ECONNREFUSED' >&2; exit 2")
    assert (reply.exit_reason, reply.text) == ("unreachable", "thinking\n")


async def test_log_with_a_limit_in_an_answer_is_an_answer(project: Project) -> None:
    text = "Error: 429 Too Many Requests\n<summary>the run met it</summary>\n"
    reply = await call(project, "cat", prompt=text)
    assert (reply.exit_reason, reply.text) == ("finished", text)
