"""`wildloop mcp` over stdio, called by the SDK's own client, against a live server."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from tests.support.pace import patient
from tests.support.project import make_project
from tests.support.server import Server
from wildloop.shim.mcp.server import TOOLS
from wildloop.shim.net import free_ports

UNKNOWN = "00000000-0000-4000-8000-000000000000"
Connect = Callable[..., AbstractAsyncContextManager["Tools"]]


class Tools:
    """The tools of one server process, as an agent calls them."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, /, **arguments: Any) -> str:
        """The text of a call that succeeds."""
        text, failed = await self.answer(tool, **arguments)
        assert not failed, text
        return text

    async def read(self, tool: str, /, **arguments: Any) -> Any:
        """The JSON of a call that succeeds."""
        return json.loads(await self.call(tool, **arguments))

    async def refused(self, tool: str, /, **arguments: Any) -> str:
        """The text of a call that fails."""
        text, failed = await self.answer(tool, **arguments)
        assert failed, text
        return text

    async def answer(self, tool: str, /, **arguments: Any) -> tuple[str, bool]:
        result = await self.client.call_tool(tool, arguments)
        (content,) = result.content
        assert content.type == "text"
        return content.text, bool(result.is_error)


@asynccontextmanager
async def tools_of(url: str, token: str, workdir: Path, **env: str) -> AsyncIterator[Tools]:
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-P", "-m", "wildloop.shim.cli.main", "mcp"],
        env={"WILDLOOP_SERVER_URL": url, "WILDLOOP_AUTH_TOKEN": token, **env},
        cwd=workdir,
    )
    async with Client(parameters) as client:
        yield Tools(client)


@pytest.fixture
def connect(server: Server, project: Path) -> Connect:
    """Start the tools at a project, with more variables if need be."""
    return lambda **env: tools_of(server.url, server.token, project, **env)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tools]:
    """One process for the tests that are refused: each start takes more than a second."""
    project = make_project(tmp_path_factory.mktemp("shared") / "my projekt ü")
    connected: asyncio.Future[Tools] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def hold() -> None:
        # The client is to be left by the task that has entered it.
        async with tools_of(server.url, server.token, project) as tools:
            connected.set_result(tools)
            await over.wait()

    holding = asyncio.create_task(hold())
    await asyncio.wait({holding, connected}, return_when=asyncio.FIRST_COMPLETED)
    if holding.done():
        await holding
    yield connected.result()
    over.set()
    await holding


async def test_every_tool_is_listed_with_a_description_and_checked_arguments(
    tmp_path: Path,
) -> None:
    async with tools_of("http://127.0.0.1:1", "x", tmp_path) as tools:
        found = (await tools.client.list_tools()).tools
    assert [tool.name for tool in found] == [
        "create_sweep",
        "create_run",
        "start_run",
        "stop_run",
        "list_runs",
        "get_run",
        "get_logs",
        "get_metrics",
        "cluster",
        "system_health",
        "search_skills",
        "read_skill",
        "events",
    ]
    assert all(tool.description and tool.annotations for tool in found)
    assert all(tool.input_schema["additionalProperties"] is False for tool in found)


async def test_run_is_created_started_measured_and_read(
    server: Server, connect: Connect, project: Path
) -> None:
    script = 'for i in 1 2 3; do echo "{\\"step\\": $i, \\"loss\\": 0.$i}"; done'
    command = f'{script} > "$WILDLOOP_RUN_DIR/metrics.jsonl"; echo $WORD; pwd'
    async with connect() as tools:
        made = await tools.read(
            "create_run",
            name="mine",
            command=command,
            workdir=str(project),
            env={"WORD": "grüße"},
            parameters={"lr": 0.1},
            seed=7,
            gpus=0,
        )
        assert (made["status"], made["seed"]) == ("ready", 7)
        run_id = made["id"]
        started = await tools.read("start_run", run_id=run_id)
        assert started["status"] != "ready"
        server.ended(run_id)
        run = await tools.read("get_run", run_id=run_id)
        assert (run["status"], run["exit_code"], run["parameters"]) == ("finished", 0, {"lr": 0.1})
        log = await tools.call("get_logs", run_id=run_id)
        assert f"grüße\n{project}" in log and "the run has ended" in log
        metrics = await tools.read("get_metrics", run_id=run_id)
        assert metrics["last"]["loss"] == 0.3
        assert metrics["lowest"]["loss"] == 0.1
        assert metrics["series"]["loss"] == [[1, 0.1], [2, 0.2], [3, 0.3]]
        assert "the run has: loss" in await tools.call("get_metrics", run_id=run_id, name="acc")


async def test_running_run_is_stopped(server: Server, connect: Connect) -> None:
    async with connect() as tools:
        made = await tools.read(
            "create_run", name="long", command="sleep 600", auto_start=True, gpus=0
        )
        server.reaches(made["id"], "running")
        await tools.read("stop_run", run_id=made["id"])
        assert server.ended(made["id"])["status"] == "stopped"


async def test_session_s_agent_works_in_its_session_and_project(
    server: Server, connect: Connect, project: Path
) -> None:
    session_id = server.start(project, "command:true", max_iterations=1)
    (project / "sub").mkdir()
    async with connect(WILDLOOP_SESSION_ID=session_id) as tools:
        sweep = await tools.read("create_sweep", name="width", goal="How wide?")
        assert sweep["chat_session_id"] == session_id
        run = await tools.read(
            "create_run", name="a", command="exit 3", sweep_id=sweep["id"], auto_start=True, gpus=0
        )
        assert (run["chat_session_id"], run["workdir"]) == (session_id, str(project))
        below = await tools.read("create_run", name="b", command="true", workdir="sub")
        assert below["workdir"] == str(project / "sub")
        mine = await tools.read("list_runs")
        assert [found["name"] for found in mine["runs"]] == ["b", "a"]
        server.ended(run["id"])
        events = (await tools.read("events"))["events"]
        (failed,) = [event for event in events if event["type"] == "run_failed"]
        assert failed["run_id"] == run["id"]
        rest = await tools.call("events", resolve=[failed["id"]])
        assert failed["id"] not in rest
        assert failed["id"] in await tools.call("events", include_resolved=True)


async def test_grid_becomes_runs_and_a_long_list_tells_how_many_more(
    connect: Connect, project: Path
) -> None:
    async with connect() as tools:
        # Some models send an object as a string.
        sweep = await tools.read(
            "create_sweep",
            name="grid",
            goal="Which seed?",
            base_command="true",
            parameters='{"seed": [1, 2, 3]}',
            workdir=str(project),
            gpus=0,
        )
        assert sweep["progress"]["ready"] == 3
        page = await tools.read("list_runs", sweep_id=sweep["id"], limit=2)
        assert len(page["runs"]) == 2
        assert page["more"] == "1 more: ask with offset=2"
        page = await tools.read("list_runs", sweep_id=sweep["id"], offset=2)
        assert len(page["runs"]) == 1 and "more" not in page
        assert await tools.call("list_runs", sweep_id=sweep["id"], status="failed") == "no runs"


async def test_long_log_is_cut_in_the_middle_and_read_in_parts(
    server: Server, connect: Connect
) -> None:
    run = server.run("seq -f 'line %06g' 1 5000", gpus=0)
    server.ended(run["id"])
    async with connect() as tools:
        log = await tools.call("get_logs", run_id=run["id"], limit=1000)
        assert len(log) < 1200
        assert log.startswith("line 000001\n") and "line 005000\n" in log
        assert "59000 bytes left out: get_logs with offset=250" in log
        middle = await tools.call("get_logs", run_id=run["id"], offset=12 * 2000, limit=240)
        assert middle.startswith("line 002001\n") and "go on with offset=24240" in middle
        end = await tools.call("get_logs", run_id=run["id"], offset=-12)
        assert end.startswith("line 005000\n") and "the run has ended" in end
        whole = await tools.call("get_logs", run_id=run["id"], limit=32000, offset=0)
        assert len(whole) < 32_200


async def test_compute_and_health_are_told(connect: Connect) -> None:
    async with connect() as tools:
        cluster = await tools.read("cluster")
        assert cluster["capacity"]["g"] == 2
        assert (await tools.read("system_health"))["max_concurrent"] == 2


async def test_skills_are_found_and_read(connect: Connect) -> None:
    async with connect() as tools:
        found = await tools.read("search_skills", query="preflight")
        assert "wild_v2_execution_ops_protocol" in [skill["id"] for skill in found]
        assert len(await tools.read("search_skills")) >= len(found)
        text = await tools.call("read_skill", skill_id="wild_v2_execution_ops_protocol")
        assert "ABORT_EARLY_DOCS_CHECK_FAILED" in text
        file = await tools.call("read_skill", skill_id="wild_v2_idea", path="SKILL.md")
        assert file.startswith("---")
        assert "no skill" in await tools.call("search_skills", query="zzzyyyxxx")


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("start_run", {"run_id": UNKNOWN}),
        ("stop_run", {"run_id": UNKNOWN}),
        ("get_run", {"run_id": UNKNOWN}),
        ("get_logs", {"run_id": UNKNOWN}),
        ("get_logs", {"run_id": UNKNOWN, "offset": 5}),
        ("get_metrics", {"run_id": UNKNOWN}),
        ("get_run", {"run_id": "no such ü?#"}),
        ("read_skill", {"skill_id": "no-such-skill"}),
        ("read_skill", {"skill_id": "wild_v2_idea", "path": "no/such.md"}),
        ("events", {"session_id": UNKNOWN}),
        ("create_run", {"name": "a", "command": "true", "sweep_id": UNKNOWN}),
        ("create_run", {"name": "a", "command": "true", "workdir": "/no/such/folder"}),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_unknown_thing_is_named_and_the_server_lives_on(
    shared: Tools, tool: str, arguments: dict[str, Any]
) -> None:
    text = await shared.refused(tool, **arguments)
    assert any(str(value) in text for value in arguments.values()), text
    assert await shared.read("system_health")


async def test_refusal_of_the_api_carries_its_words(server: Server, connect: Connect) -> None:
    run = server.run("true", gpus=0)
    server.ended(run["id"])
    async with connect() as tools:
        text = await tools.refused("start_run", run_id=run["id"])
    assert text == server.http.post(f"/runs/{run['id']}/start").json()["detail"]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("create_run", {"name": "a"}, "command: Field required"),
        ("create_run", {"name": "a", "command": "true", "gpu": 1}, "gpu: Extra inputs"),
        ("create_run", {"name": "a", "command": "true", "env": "{broken"}, "env: "),
        ("create_run", {"name": "a", "command": " "}, "command: "),
        ("create_sweep", {"name": "a", "goal": "b", "gpus": 2}, "gpus: of a grid alone"),
        ("list_runs", {"status": "done"}, "status: "),
        ("list_runs", {"limit": 51}, "limit: "),
        ("get_logs", {"run_id": UNKNOWN, "limit": 10**9}, "limit: "),
        ("get_run", {"run_id": ".."}, "run_id: "),
        ("get_run", {"run_id": "a/../b"}, "run_id: "),
        ("get_run", {"run_id": ""}, "run_id: "),
        ("read_skill", {"skill_id": "wild_v2_idea", "path": "../../runs"}, "path: "),
        ("events", {}, "session_id: this is no session's agent"),
        ("delete_everything", {}, "no tool 'delete_everything'"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_bad_arguments_are_named(
    shared: Tools, tool: str, arguments: dict[str, Any], said: str
) -> None:
    assert said in await shared.refused(tool, **arguments)


async def test_without_a_server_the_mend_is_told(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    async with tools_of(f"http://127.0.0.1:{port}", "x", tmp_path) as tools:
        for tool in ("list_runs", "cluster", "search_skills"):
            assert "start one with `wildloop up`" in await tools.refused(tool)


class Stranger(BaseHTTPRequestHandler):
    """Something else that listens where the server is thought to be."""

    body: ClassVar[bytes]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.mark.parametrize("body", [b"<html>hello</html>", b'[{"id": 1}]'])
async def test_answer_of_a_stranger_is_told_as_such(tmp_path: Path, body: bytes) -> None:
    handler = type("Handler", (Stranger,), {"body": body})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.server_address[1]}"
            async with tools_of(url, "x", tmp_path) as tools:
                text = await tools.refused("list_runs")
        finally:
            listening.shutdown()
            thread.join()
    assert f"what answers at {url} is no Wildloop server" in text


class Flaky(BaseHTTPRequestHandler):
    """Creates a run at every request, but the first answer is lost."""

    keys: ClassVar[list[str]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.keys.append(self.headers["Idempotency-Key"])
        failed = len(self.keys) == 1
        body = b'{"detail": "try again"}' if failed else b'{"id": "r"}'
        self.send_response(503 if failed else 201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


async def test_creation_that_is_tried_again_bears_the_same_key(tmp_path: Path) -> None:
    handler = type("Handler", (Flaky,), {"keys": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        try:
            url = f"http://127.0.0.1:{listening.server_address[1]}"
            async with tools_of(url, "x", tmp_path) as tools:
                assert await tools.refused("create_run", name="a", command="true") == "try again"
                await tools.read("create_run", name="a", command="true")
                await tools.read("create_run", name="a", command="true")
                await tools.read("create_sweep", name="s", goal="g")
        finally:
            listening.shutdown()
            thread.join()
    first, second, third, sweep = handler.keys  # type: ignore[attr-defined]
    assert first == second
    assert len({first, third, sweep}) == 3


def test_server_ends_with_its_client_and_prints_nothing_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "mcp"],
        input="",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=patient(60),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_project_does_not_shadow_the_server_s_modules(tmp_path: Path) -> None:
    for name in ("mcp", "shim", "httpx"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    command = [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "mcp"]
    done = subprocess.run(
        command, input="", text=True, cwd=tmp_path, timeout=patient(60), check=False
    )
    assert done.returncode == 0


async def test_wrong_token_is_refused_and_not_repeated(server: Server, tmp_path: Path) -> None:
    wrong = "wrong-token-0123456789"
    async with tools_of(server.url, wrong, tmp_path) as tools:
        text = await tools.refused("list_runs")
        assert "missing or wrong token" in text and wrong not in text


def test_all_tools_but_those_that_act_are_marked_as_reading() -> None:
    acting = {tool.tool_name() for tool in TOOLS if not tool.reads_only}
    assert acting == {"create_sweep", "create_run", "start_run", "stop_run", "events"}
