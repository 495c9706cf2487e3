"""A plain Prefect server elsewhere: deployed to, and used by `wildloop up`."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from shim.net import free_ports
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, command_environment, start_server, wait_for

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
NAMES = {"experiment/wildloop", "research-loop/wildloop", "research-loop/nightly"}


@dataclass
class PlainServer:
    """A `prefect server start` with nothing of ours."""

    url: str
    env: dict[str, str]

    def prefect(self, *arguments: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
        """Run the prefect command against it."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("prefect")), *arguments],
            env=self.env,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    def wildloop(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the wildloop command against it."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "shim.cli.main", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def deployments(self) -> dict[str, dict]:  # type: ignore[type-arg]
        """Deployments by flow/name."""
        flows = httpx.post(f"{self.url}/flows/filter", json={}).json()
        names = {flow["id"]: flow["name"] for flow in flows}
        found = httpx.post(f"{self.url}/deployments/filter", json={}).json()
        return {f"{names[one['flow_id']]}/{one['name']}": one for one in found}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainServer]:
    folder = tmp_path_factory.mktemp("plain")
    port = free_ports(1)[0]
    url = f"http://127.0.0.1:{port}/api"
    env = command_environment(folder / "home") | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("prefect")),
                "server",
                "start",
                "--port",
                str(port),
            ],
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def up() -> bool:
        try:
            return httpx.get(f"{url}/health").is_success
        except httpx.TransportError:
            return False

    wait_for(up, "plain Prefect server", 90)
    yield PlainServer(url, env)
    process.terminate()
    process.wait(30)


def test_prefect_deploy_all_accepts_prefect_yaml(plain: PlainServer) -> None:
    made = plain.prefect("work-pool", "create", "wildloop", "--type", "wildloop")
    assert made.returncode == 0, made.stderr + made.stdout
    done = plain.prefect("--no-prompt", "deploy", "--all")
    assert done.returncode == 0, done.stderr + done.stdout
    found = plain.deployments()
    assert set(found) == NAMES
    nightly = found["research-loop/nightly"]
    assert [(s["schedule"]["cron"], s["active"]) for s in nightly["schedules"]] == [
        ("0 22 * * *", False)
    ]
    properties = nightly["parameter_openapi_schema"]["properties"]
    for name in ("goal", "workdir", "agent", "max_iterations"):
        assert properties[name]["description"], name
        assert properties[name]["title"], name


def test_wildloop_deploy_registers_the_same(plain: PlainServer) -> None:
    done = plain.wildloop("deploy")
    assert done.returncode == 0, done.stderr
    assert {line.removeprefix("deployed ") for line in done.stdout.split("\n") if line} == NAMES
    declared = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    found = plain.deployments()
    for one in declared:
        flow = "experiment" if "experiment" in one["entrypoint"] else "research-loop"
        there = found[f"{flow}/{one['name']}"]
        assert sorted(there["tags"]) == sorted(one["tags"])
        assert there["work_queue_name"] == one["work_pool"]["work_queue_name"]
        assert there["description"] == one["description"].strip()
        assert there["enforce_parameter_schema"] is False
        assert there["parameters"] == one.get("parameters", {})


@pytest.fixture
def joined(plain: PlainServer, tmp_path: Path, project: Path) -> Iterator[Server]:
    """`wildloop up` on the plain server."""
    extra = {"PREFECT_API_URL": plain.url, "PREFECT_HOME": plain.env["PREFECT_HOME"]}
    running = start_server(tmp_path / "home", project, slots=2, extra=extra)
    yield running
    running.stop()


def test_deployment_run_does_the_same_session(
    plain: PlainServer, joined: Server, tmp_path: Path, project: Path
) -> None:
    before = plain.deployments()
    script = Script(tmp_path / "script")
    script.reply(1, planned())
    script.reply(
        2,
        "<summary>one trial</summary>\n<experiments>\n- goal: g\n  command: echo score=1\n"
        "</experiments>",
    )
    script.default(STOP)
    done = plain.prefect(
        "deployment",
        "run",
        "research-loop/wildloop",
        "-p",
        "goal=Raise the score",
        "-p",
        f"workdir={project}",
        "-p",
        f"agent={script.agent}",
        "-p",
        "max_iterations=1",
    )
    assert done.returncode == 0, done.stderr + done.stdout
    session_id = wait_for(
        lambda: next((s["session_id"] for s in joined.get("/wild/v2/sessions")), None), "session"
    )
    session = joined.session_ended(session_id)
    assert session["status"] == "completed", session["error"]
    assert session["runs"]["completed"] == 1
    assert session["ui_url"].startswith(plain.url.removesuffix("/api"))
    assert {name: one["id"] for name, one in plain.deployments().items()} == {
        name: one["id"] for name, one in before.items()
    }
    assert not (joined.home / "postgres").exists()
