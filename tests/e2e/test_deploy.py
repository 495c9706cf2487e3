"""A plain Prefect server elsewhere: deployed to, and used by `wildloop up`."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.support.pace import patient
from tests.support.project import make_project
from tests.support.schedules import fired, scheduled, send_digest
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, command_environment, start_server, wait_for
from tests.support.sinks import http_sink
from wildloop.flows import events
from wildloop.flows.worker.deployments import ensure_deployments
from wildloop.shim.net import free_ports

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parents[2]
USERS = {"research-loop/nightly", "digest/morning"}
NAMES = {"experiment/wildloop", "research-loop/wildloop"} | USERS


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
            timeout=patient(120),
            stdin=subprocess.DEVNULL,
        )

    def wildloop(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the wildloop command against it."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "wildloop.shim.cli.main", *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=patient(120),
        )

    def deployments(self) -> dict[str, dict]:  # type: ignore[type-arg]
        """Deployments by flow/name."""
        flows = httpx.post(f"{self.url}/flows/filter", json={}, timeout=patient(30)).json()
        names = {flow["id"]: flow["name"] for flow in flows}
        found = httpx.post(f"{self.url}/deployments/filter", json={}, timeout=patient(30)).json()
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

    try:
        wait_for(up, "plain Prefect server", 90)
        yield PlainServer(url, env)
    finally:
        process.terminate()
        process.wait(patient(30))


def test_prefect_deploy_all_accepts_prefect_yaml(plain: PlainServer) -> None:
    made = plain.prefect("work-pool", "create", "wildloop", "--type", "wildloop")
    assert made.returncode == 0, made.stderr + made.stdout
    done = plain.prefect("--no-prompt", "deploy", "--all")
    assert done.returncode == 0, done.stderr + done.stdout
    found = plain.deployments()
    assert set(found) == NAMES - USERS
    properties = found["research-loop/wildloop"]["parameter_openapi_schema"]["properties"]
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
        assert there["enforce_parameter_schema"] is one["enforce_parameter_schema"]
        assert there["enforce_parameter_schema"] is (flow == "research-loop")
        assert there["parameters"] == one.get("parameters", {})


async def test_workers_that_begin_at_once_register_all_of_it_once(plain: PlainServer) -> None:
    for pool in httpx.post(f"{plain.url}/work_pools/filter", json={}).json():
        httpx.delete(f"{plain.url}/work_pools/{pool['name']}").raise_for_status()
    for one in plain.deployments().values():
        httpx.delete(f"{plain.url}/deployments/{one['id']}").raise_for_status()
    with temporary_settings({PREFECT_API_URL: plain.url}):
        async with get_client() as client:
            await asyncio.gather(*(ensure_deployments(client) for _ in range(3)))
    found = plain.deployments()
    assert set(found) == NAMES
    assert [len(found[name]["schedules"]) for name in sorted(USERS)] == [1, 1]


def test_prefect_takes_the_automations_that_are_shipped(plain: PlainServer) -> None:
    made = plain.prefect("automation", "create", "--from-file", "docs/automations.yaml")
    assert made.returncode == 0, made.stderr + made.stdout
    every = httpx.post(f"{plain.url}/automations/filter", json={}, timeout=patient(30)).json()
    there = {one["name"]: one for one in every if one["name"].startswith("Wildloop: ")}
    told = {name for one in there.values() for name in one["trigger"]["expect"]}
    known = {events.SESSION_BEST, events.SESSION_FAILED, events.SESSION_STUCK, events.HOST_LOST}
    assert (len(there), told) == (3, known)
    for one in there.values():
        httpx.delete(f"{plain.url}/automations/{one['id']}").raise_for_status()


def nightly_of(plain: PlainServer) -> tuple[Any, ...]:
    """What the user has set for the night."""
    found = plain.deployments()["research-loop/nightly"]
    (one,) = found["schedules"]
    cron, zone = one["schedule"]["cron"], one["schedule"]["timezone"]
    limit = (found["global_concurrency_limit"]["limit"], found["concurrency_options"])
    assert one["parameters"] == {}
    return found["id"], one["id"], cron, zone, one["active"], found["parameters"], limit


def test_what_the_user_has_set_for_the_night_outlives_a_deployment_anew(
    plain: PlainServer, project: Path
) -> None:
    zone = ("--timezone", "Europe/Berlin")
    on = plain.wildloop(
        "nightly", "--goal", "Lower the loss", "--workdir", str(project), "--at", "23:15", *zone,
        "--budget-hours", "8", "--overlap", "skip", "--json",
    )  # fmt: skip
    assert on.returncode == 0, on.stderr
    told = json.loads(on.stdout)
    assert (told["at"], told["timezone"], told["active"]) == ("23:15", "Europe/Berlin", True)
    before = nightly_of(plain)
    assert before[2:5] == ("15 23 * * *", "Europe/Berlin", True)
    assert before[5] == {
        "goal": "Lower the loss", "workdir": str(project), "budget": {"hours": 8.0},
    }  # fmt: skip
    assert before[6][1]["collision_strategy"] == "CANCEL_NEW"
    for again in (plain.wildloop("deploy"), plain.prefect("--no-prompt", "deploy", "--all")):
        assert again.returncode == 0, again.stderr + again.stdout
        assert nightly_of(plain) == before
    digest = plain.wildloop("digest", "on", "--at", "07:30", *zone, "--hours", "12", "--to", "me")
    assert digest.returncode == 0 and "every day at 07:30 Europe/Berlin" in digest.stdout
    off = plain.wildloop("nightly", "off")
    assert off.returncode == 0 and "off at 23:15" in off.stdout
    assert plain.wildloop("deploy").returncode == 0
    assert nightly_of(plain)[4] is False
    morning = plain.deployments()["digest/morning"]
    assert morning["parameters"] == {"hours": 12.0, "to": ["me"]}
    assert [one["schedule"]["cron"] for one in morning["schedules"]] == ["30 7 * * *"]
    assert "Lower the loss" in plain.wildloop("nightly", "status").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--at", "25:00"), "at: '25:00' is no time of day"),
        (("--timezone", "Mars/Olympus"), "Mars/Olympus"),
        (("--budget-hours", "-1"), "budget"),
        (("--overlap", "both"), "neither wait nor skip"),
        (("--workdir", "/nowhere"), "is no git repository"),
    ],
)
def test_a_wrong_night_is_refused(
    plain: PlainServer, project: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = plain.wildloop("nightly", "--goal", "g", "--workdir", str(project), *arguments)
    assert done.returncode != 0
    assert said in done.stderr and done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def joined(plain: PlainServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`wildloop up` on the plain server."""
    folder = tmp_path_factory.mktemp("joined")
    extra = {"PREFECT_API_URL": plain.url, "PREFECT_HOME": plain.env["PREFECT_HOME"]}
    running = start_server(folder / "home", make_project(folder / "project"), slots=2, extra=extra)
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
    session_id = joined.wait_for(
        lambda: next((s["session_id"] for s in joined.get("/wild/v2/sessions")), None), "session"
    )
    session = joined.session_ended(session_id)
    assert session["status"] == "completed", session["error"]
    assert session["runs"]["completed"] == 1
    made = httpx.get(f"{plain.url}/flow_runs/{session_id}", timeout=patient(30)).json()
    assert made["name"].startswith("Raise the score, 20")
    assert session["ui_url"].startswith(plain.url.removesuffix("/api"))
    assert {name: one["id"] for name, one in plain.deployments().items()} == {
        name: one["id"] for name, one in before.items()
    }
    assert not (joined.home / "postgres").exists()


def test_nightly_starts_at_its_time_ends_and_is_in_the_digest(
    plain: PlainServer, joined: Server, tmp_path: Path, project: Path
) -> None:
    script = Script(tmp_path / "script").reply(1, planned()).default(STOP)
    parameters = {"goal": "Raise the score", "workdir": str(project), "agent": script.agent}
    with (
        http_sink() as sink,
        httpx.Client(base_url=plain.url, timeout=60) as prefect,
        scheduled(prefect, "research-loop/nightly", parameters) as nightly,
    ):
        url = f"http://127.0.0.1:{sink.port}/me"
        made = plain.wildloop("notify", "add", "webhook", url, "--name", "me", "--on", "ended")
        assert made.returncode == 0, made.stderr
        started = fired(prefect, nightly)
        session = joined.session_ended(started["id"])
        assert session["status"] == "completed", session["error"]
        wait_for(lambda: sink.titles("/me"), "the plain server sends word of the end")
        sent = send_digest(prefect, {"hours": 1})
        assert sent["state_type"] == "COMPLETED", sent["state"]["message"]
        assert started["id"] in sink.text("/me", "Wildloop: session completed")
        told = next(text for text in sink.titles("/me") if " since " in text)
        assert started["id"] in sink.text("/me", told)
