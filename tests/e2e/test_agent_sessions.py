"""Whole sessions driven by the real agent CLIs, and by our own tool loop, on a scripted model."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from tests.support.agent_clis import SLOWEST, STUB_PRICE, block_fields
from tests.support.project import git, make_project
from tests.support.server import Server
from tests.support.stub_models import Researcher, Seen, Step, StubModel, Use
from tests.support.stub_models.research import LESSON, RUNS, Plan, Way
from wildloop.blocks.agents.base import Agent
from wildloop.blocks.agents.openai_compatible import OpenAICompatible
from wildloop.blocks.agents.registry import TOOLS

pytestmark = [pytest.mark.e2e, pytest.mark.agent_cli]
KEY = "key-of-the-model-0123456789"
WAYS: dict[str, Way] = {"claude": "mcp", "codex": "mcp", "opencode": "http", "openai": "http"}


class Onlooker:
    """Looks at every process's command line whenever the model is asked."""

    def __init__(self, researcher: Researcher, secrets: tuple[str, ...]) -> None:
        self._researcher = researcher
        self._secrets = secrets
        self.answers: list[Step] = []
        self.leaks: list[str] = []

    def __call__(self, request: Seen) -> Step:
        """The answer to a request."""
        for pid in psutil.pids():
            try:
                line = " ".join(psutil.Process(pid).cmdline())
            except psutil.Error:
                continue
            if any(secret in line for secret in self._secrets):
                self.leaks.append(f"{pid}: {line}")
        self.answers.append(self._researcher(request))
        return self.answers[-1]


@dataclass
class Drive:
    """A session that one of the agents has driven to its end."""

    name: str
    server: Server
    project: Path
    home: Path
    model: StubModel
    onlooker: Onlooker
    session: dict[str, Any]

    @property
    def id(self) -> str:
        """The session's id."""
        return str(self.session["session_id"])

    def runs(self) -> list[dict[str, Any]]:
        """The session's runs."""
        return list(self.server.get("/runs", chat_session_id=self.id))


def agent_block(name: str, url: str, home: Path) -> Agent:
    """The block of an agent, with the stub for its model."""
    if name in TOOLS:
        fields = block_fields(name, url, home, KEY)
        if name == "opencode":
            # Its runs come by HTTP: without our MCP server each call costs a third less.
            fields["configuration"]["mcp"] = {"wildloop": {"enabled": False}}
        return TOOLS[name].model_validate(fields)
    fields = {"base_url": f"{url}/v1", "model": "stub", "api_key": KEY, "price": STUB_PRICE}
    return OpenAICompatible.model_validate(fields)


def save(server: Server, agent: Agent, name: str) -> str:
    """Save a block on the server's Prefect; the name by which a session finds it."""
    settings = {
        PREFECT_API_URL: str(server.prefect.base_url),
        PREFECT_API_AUTH_STRING: f"wildloop:{server.token}",
    }
    with temporary_settings(settings):
        agent.save(name, overwrite=True, _sync=True)
    return f"{agent.get_block_type_slug()}/{name}"


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.long] * (name == SLOWEST)) for name in WAYS],
    scope="module",
)
def drive(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Drive]:
    name = request.param
    root = tmp_path_factory.mktemp(name)
    project, home = make_project(root / "my projekt ü"), root / "home"
    home.mkdir()
    plan: Plan = "tag" if name in ("claude", "opencode") else "file"
    onlooker = Onlooker(Researcher(WAYS[name], plan), (server.token, KEY))
    with StubModel(decide=onlooker) as model:
        agent = save(server, agent_block(name, model.url, home), f"stub-{name}")
        session_id = server.start(project, agent, max_iterations=4, wait_seconds=10)
        session = server.session_ended(session_id, sign=lambda: len(onlooker.answers))
        yield Drive(name, server, project, home, model, onlooker, session)


def labels(session: dict[str, Any]) -> list[tuple[str, int]]:
    return [(step["kind"], step["index"]) for step in session["history"]]


def test_agent_plans_experiments_waits_and_comes_to_its_end(drive: Drive) -> None:
    session = drive.session
    assert (session["status"], session["error"]) == ("completed", None)
    calls = labels(session)
    assert calls[0] == ("planning", 0) and calls[-2:] == [("iteration", 2), ("reflection", 2)]
    assert set(calls[1:-2]) == {("iteration", 1)} and len(calls) >= 5
    promises = [step["promise"] for step in session["history"]]
    assert promises[1] == "WAITING" and promises[-2] == "DONE"
    assert [step["faults"] for step in session["history"]] == [[]] * len(calls)
    assert (session["tasks"]["done"], session["tasks"]["total"]) == (12, 12)
    # One run each shows nothing to be better: the first stays, the other is a candidate.
    assert session["best"]["value"] == min(RUNS.values())
    assert any(f"{max(RUNS.values()):g}" in one for one in session["candidates"])
    last = session["history"][-1]
    assert (last["continue_session"], last["summary"]) == (False, "stop")
    lessons = drive.server.get("/memories", project=str(drive.project))
    assert [memory["content"] for memory in lessons] == [LESSON]


def test_runs_are_the_agents_own_and_finished(drive: Drive) -> None:
    runs = drive.runs()
    assert {run["name"]: run["metrics"]["score"] for run in runs} == RUNS
    assert {run["status"] for run in runs} == {"finished"}
    assert {run["workdir"] for run in runs} == {str(drive.project)}
    first = drive.session["history"][1]
    assert set(first["run_ids"]) == {run["id"] for run in runs}
    asked = json.dumps([request.body for request in drive.model.main])
    used = {step.tool for step in drive.onlooker.answers if isinstance(step, Use)}
    assert ({"create_run", "list_runs"} <= used) is (WAYS[drive.name] == "mcp")
    assert all(run["id"] in asked for run in runs)


def test_every_call_is_counted_committed_and_kept(drive: Drive) -> None:
    history = drive.session["history"]
    assert all(step["exit_reason"] == "finished" and step["cost_usd"] > 0 for step in history)
    assert all(step["usage"]["output"] > 0 for step in history)
    assert drive.session["usage"]["input"] == sum(step["usage"]["input"] for step in history)
    assert all(step["commit"] for step in history)
    assert git(drive.project, "branch", "--show-current").strip() == "main"
    subjects = git(drive.project, "log", "--format=%s", f"main..wild/{drive.id}")
    for subject in ("planning: planned", "iteration-01: two runs", "iteration-02: all done"):
        assert f"wild: {subject}" in subjects
    for step in history:
        text = Path(step["transcript"]).read_text(encoding="utf-8")
        assert "## Reply" in text and step["summary"] in text
        assert Path(step["transcript"]).with_suffix(".jsonl").stat().st_size > 0
    report = drive.server.get(f"/wild/v2/report/{drive.id}")
    assert Path(report["report_path"]).is_file()
    assert all(name in report["report"] for name in RUNS)


def test_secrets_stay_out_of_files_and_process_lists(drive: Drive) -> None:
    """The agent has printed all its variables, the token among them, in every call."""
    asked = [json.dumps(seen.body) for seen in drive.model.main]
    assert not any(drive.server.token in body for body in asked)
    printed = any(re.search(r"WILDLOOP_AUTH_TOKEN=ey[\w-]+\.", body) for body in asked)
    # Our own tool loop masks its commands' output; the tools send it on to the model.
    assert printed is (drive.name in TOOLS)
    assert len(drive.onlooker.answers) == len(drive.model.main)
    assert drive.onlooker.leaks == []
    logs = drive.server.home / "logs"
    files = [
        path
        for folder in (drive.home, drive.project, logs)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    ]
    assert len(files) > 20
    secrets = [drive.server.token.encode(), KEY.encode()]
    assert [path for path in files if any(s in path.read_bytes() for s in secrets)] == []
