"""Agents in a real bubblewrap, and what is said where it does not work."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

from tests.support.debian import apt_install
from tests.support.pace import patient
from wildloop.blocks.agents.base import AgentReply, AgentRequest, AgentUnavailable
from wildloop.blocks.agents.baseline_block import BaselineAgent
from wildloop.blocks.agents.command import CommandAgent
from wildloop.blocks.agents.sandbox import Sandbox, own_places, places, probe
from wildloop.flows.guards.isolation import isolated
from wildloop.flows.project import AgentConfig, ProjectConfig

DEADLINE_S = 20.0


@pytest.fixture(scope="module")
def bubblewrap(tmp_path_factory: pytest.TempPathFactory) -> None:
    if shutil.which("bwrap") is None:
        fault = apt_install("bubblewrap")
        if shutil.which("bwrap") is None:
            pytest.skip(f"bubblewrap cannot be installed: {fault}")
    fault = probe(Sandbox(mode="on"), tmp_path_factory.mktemp("probe"), os.environ)
    if fault is not None:
        pytest.skip(fault)


class Desk:
    """A project below a home folder with secrets in it."""

    def __init__(self, root: Path) -> None:
        self.home = root / "home ü"
        self.workdir = self.home / "work" / "a projekt"
        self.record = self.workdir / ".wild" / "runs" / "agents-s" / "iteration-01.1"
        for folder in (
            self.workdir / ".git" / "hooks",
            self.home / ".ssh",
            self.home / ".wildloop",
        ):
            folder.mkdir(parents=True)
        (self.workdir / ".git" / "config").touch()
        (self.workdir / "wildloop.toml").touch()
        (self.workdir / "evaluate.py").write_text("honest")
        (self.home / ".ssh" / "id_ed25519").write_text("private key")
        (self.home / ".wildloop" / "token").write_text("the token")
        (self.home / ".netrc").write_text("machine m password p")
        (self.home / "notes.txt").write_text("mine")

    def request(self, **changes: Any) -> AgentRequest:
        values: dict[str, Any] = {
            "prompt": "hello",
            "workdir": self.workdir,
            "timeout_seconds": DEADLINE_S,
            "record": self.record,
            "env": {"HOME": str(self.home)},
        }
        return AgentRequest.model_validate(values | changes)

    async def call(
        self, command: str, request: AgentRequest | None = None, **more: Any
    ) -> AgentReply:
        isolation = Sandbox.model_validate({"mode": "on"} | more)
        agent = CommandAgent(command=command, isolation=isolation)
        return await agent.run(request or self.request())


@pytest.fixture
def desk() -> Iterator[Desk]:
    # Not below /tmp: the sandbox has a /tmp of its own.
    with TemporaryDirectory(prefix=".wildloop-test-", dir=Path.home()) as folder:
        yield Desk(Path(folder))


pytestmark = pytest.mark.usefixtures("bubblewrap")


async def test_project_is_writable_and_the_prompt_comes(desk: Desk) -> None:
    reply = await desk.call("cat; pwd; echo made > file; echo x > /tmp/x; echo fine >&2")
    assert (reply.text, reply.exit_reason) == (f"hello{desk.workdir}\n", "finished")
    assert (desk.workdir / "file").read_text() == "made\n"
    assert (desk.record / "stderr.log").read_text() == "fine\n"


@pytest.mark.parametrize(
    "target",
    [
        "$HOME/notes.txt",
        "$HOME/new",
        "$HOME/.ssh/authorized_keys",
        "/etc/new",
        "wildloop.toml",
        ".git/config",
        ".git/hooks/pre-commit",
        "evaluate.py",
        "/proc/sys/kernel/hostname",
    ],
)
async def test_nothing_else_is_writable(desk: Desk, target: str) -> None:
    command = f'echo bad > "{target}" || echo refused; cat "$HOME/notes.txt"'
    reply = await desk.call(command, read_only=["evaluate.py"])
    assert reply.text == "refused\nmine"


async def test_secrets_are_not_there(desk: Desk) -> None:
    kept = "ls -A ~/.ssh ~/.wildloop; cat ~/.netrc ~/.ssh/id_ed25519 ~/.wildloop/token"
    reply = await desk.call(f"{kept}; cat ~/plain.txt; true", hidden=["~/notes.txt"])
    for secret in ("private key", "the token", "password", "id_ed25519"):
        assert secret not in reply.text


async def test_other_processes_are_out_of_sight(desk: Desk) -> None:
    reply = await desk.call(
        "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -c PYTEST_CURRENT; true"
    )
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert reply.text.strip() == "0"
    assert (await desk.call(f"kill -0 {os.getpid()} || echo gone", desk.request(
        record=desk.record.with_name("second")
    ))).text == "gone\n"  # fmt: skip


async def test_more_may_be_writable(desk: Desk) -> None:
    (desk.home / "cache").mkdir()
    await desk.call("echo x > ~/cache/x", writable=["~/cache"])
    assert (desk.home / "cache" / "x").exists()


@pytest.mark.parametrize(("network", "said"), [(True, "reached"), (False, "cut off")])
async def test_loopback_is_there_only_with_network(desk: Desk, network: bool, said: str) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    command = f"(: < /dev/tcp/127.0.0.1/{port}) 2> /dev/null && echo reached || echo cut off"
    async with server:
        reply = await desk.call(command, network=network)
    assert reply.text.strip() == said


async def test_whole_tree_ends_at_the_time_out(desk: Desk) -> None:
    command = "setsid sleep 612 & sleep 613"
    reply = await desk.call(command, desk.request(timeout_seconds=1.0))
    assert reply.exit_reason == "timeout"
    assert not [
        process for process in psutil.process_iter() if _words(process)[-1:] in (["612"], ["613"])
    ]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


async def test_call_is_adopted_after_a_restart(desk: Desk) -> None:
    agent = CommandAgent(
        command="echo begun > begun; while [ ! -e go ]; do sleep 0.05; done; echo ended",
        isolation=Sandbox(mode="on"),
    )
    first = asyncio.ensure_future(agent.run(desk.request()))
    end = time.monotonic() + patient(DEADLINE_S)
    while not (desk.workdir / "begun").exists():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    second = asyncio.ensure_future(CommandAgent(command="false").run(desk.request()))
    (desk.workdir / "go").touch()
    assert (await second).text == (await first).text == "ended\n"


async def test_missing_bubblewrap_is_told_with_its_mend(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    monkeypatch.setenv("PATH", str(programs))
    agent = CommandAgent(command="echo hi", isolation=Sandbox(mode="on"))
    with pytest.raises(AgentUnavailable, match="apt install bubblewrap"):
        await agent.check_isolation(desk.workdir)
    reply = await agent.run(desk.request())
    assert (reply.exit_reason, reply.text) == ("failed", "")
    assert reply.error is not None and "bubblewrap is not installed" in reply.error
    auto = CommandAgent(command="echo hi", isolation=Sandbox(mode="auto"))
    assert await auto.check_isolation(desk.workdir) == "no sandbox"
    again = await auto.run(desk.request(record=desk.record.with_name("second")))
    assert again.text == "hi\n"


async def test_forbidden_namespaces_are_told_with_their_mend(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bwrap"
    program.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(AgentUnavailable, match="unprivileged_userns_clone"):
        await CommandAgent(command="x", isolation=Sandbox(mode="on")).check_isolation(desk.workdir)


async def test_no_network_is_refused_for_agents_that_need_one(desk: Desk) -> None:
    cut_off = Sandbox(mode="on", network=False)
    with pytest.raises(AgentUnavailable, match="sandbox_network"):
        await BaselineAgent(isolation=cut_off).check_isolation(desk.workdir)
    said = await CommandAgent(command="x", isolation=cut_off).check_isolation(desk.workdir)
    assert said == "in a sandbox, without network"


def test_inner_places_prevail_over_outer_ones(desk: Desk) -> None:
    env = {"HOME": str(desk.home)}
    own = own_places("wildloop-claude-code-agent", env)
    found = places(Sandbox(mode="on"), desk.home, desk.record, env, own)
    kinds = {str(place.path.relative_to(desk.home)): place.kind for place in found
             if place.path.is_relative_to(desk.home)}  # fmt: skip
    assert kinds["."] == "writable"
    assert (kinds[".ssh"], kinds[".claude"]) == ("hidden", "writable")
    paths = [place.path for place in found]
    assert paths.index(desk.home) < paths.index(desk.home / ".ssh")


def test_project_says_what_its_agents_may_touch(desk: Desk) -> None:
    config = ProjectConfig(
        agent=AgentConfig(sandbox=True, sandbox_network=False, sandbox_hidden=["~/x"]),
        protected=["evaluate.py", "data/**", "*.toml"],
    )
    agent = isolated(CommandAgent(command="x"), desk.workdir, config)
    assert isinstance(agent, CommandAgent)
    assert agent.isolation == Sandbox(
        mode="on", network=False, hidden=["~/x"], read_only=["evaluate.py", "wildloop.toml"]
    )
    own = CommandAgent(command="x", isolation=Sandbox(mode="auto"))
    kept = isolated(own, desk.workdir, ProjectConfig())
    assert isinstance(kept, CommandAgent) and kept.isolation.mode == "auto"
