"""The curl lines of the prompt's catalog, run by a shell as an agent would."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.pace import patient
from tests.support.project import make_project
from tests.support.server import Server
from wildloop.flows.prompt.catalog import api_catalog

HEADER = '-H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN"'
# What changes the shared server for other tests, or stands for something else.
NOT_TRIED = re.compile(r"/cluster|/wild/v2/(start|stop|pause|resume)|/install|/respond")


@pytest.fixture(scope="module")
def lines(server: Server) -> list[str]:
    text = api_catalog(server.get("/openapi.json"), HEADER)
    return [line for line in text.splitlines() if line.startswith("curl ")]


@pytest.fixture(scope="module")
def environment(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    # The status is asked for without an id: no other session may be under way.
    server.stop_all()
    run = server.run("true", gpus=0)
    server.ended(run["id"])
    session = server.start(make_project(tmp_path_factory.mktemp("catalog") / "p"), "command:true")
    server.wait_for(lambda: not server.session(session)["is_active"], "it fails to plan")
    memory = server.post("/memories", {"content": "catalog"})
    return {
        **os.environ,
        "WILDLOOP_SERVER_URL": server.url,
        "WILDLOOP_AUTH_TOKEN": server.token,
        "RUN_ID": run["id"],
        "SWEEP_ID": server.post("/sweeps/wild", {"name": "catalog", "goal": "g"})["id"],
        "SESSION_ID": session,
        "SKILL_ID": "wild_v2_planning",
        "MEMORY_ID": memory["id"],
        "FILE_PATH": "SKILL.md",
        "INDEX": "0",
    }


def call(line: str, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", f"{line} -w '\\n%{{http_code}}'"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=True,
    )
    text, _, status = done.stdout.rpartition("\n")
    return int(status), text


def test_every_reading_line_works(lines: list[str], environment: dict[str, str]) -> None:
    reading = [line for line in lines if "-X" not in line and "-d " not in line]
    reading = [line for line in reading if "$ALERT_ID" not in line and "/stream" not in line]
    assert len(reading) >= 15
    failed = []
    for line in reading:
        file = {"FILE_PATH": "run.log"} if "/artifacts/" in line else {}
        status, text = call(line, environment | file)
        # A session without a report, a sweep, a configuration or that iteration says so.
        may_lack = re.search(r"/(report|evo-sweep|iterations|verify)/", line)
        allowed = (200, 404) if may_lack else (200,)
        if status not in allowed:
            failed.append((line, status, text[:300]))
    assert failed == []


def test_lines_that_create_work(lines: list[str], environment: dict[str, str]) -> None:
    creating = [
        line
        for line in lines
        if "-d " in line and "-X" not in line and "$" not in line.rpartition("_URL")[2]
    ]
    creating = [line for line in creating if not NOT_TRIED.search(line) and "steer" not in line]
    assert any(line.endswith('/runs"') for line in creating)
    for line in creating:
        status, text = call(line, environment)
        assert status in (200, 201), (line, text)
        assert json.loads(text)


def test_lines_on_a_run_work(server: Server, lines: list[str], environment: dict[str, str]) -> None:
    def line_of(end: str) -> str:
        return next(line for line in lines if line.endswith(f'/$RUN_ID{end}"'))

    ready = server.post("/runs", {"name": "ready", "command": "sleep 30", "gpus": 0})["id"]
    mine = environment | {"RUN_ID": ready}
    for end in ("/start", "/stop"):
        assert call(line_of(end), mine)[0] == 200
    assert call(line_of("/rerun"), environment)[0] == 201


def test_calls_that_an_agents_token_may_not_make_are_not_shown(
    server: Server, lines: list[str]
) -> None:
    schema = server.get("/openapi.json")["paths"]
    closed = [
        operation["summary"]
        for item in schema.values()
        for operation in item.values()
        if operation["x-wildloop-agents"] == "closed"
    ]
    assert {"Start a session", "Change a skill", "Set the compute by hand"} <= set(closed)
    shown = api_catalog(server.get("/openapi.json"), HEADER)
    assert [summary for summary in closed if f"# {summary}\n" in shown] == []


def test_catalog_holds_no_secret_and_stays_short(server: Server, lines: list[str]) -> None:
    text = api_catalog(server.get("/openapi.json"), HEADER)
    assert server.token not in text
    assert len(text) < 20_000
    assert all("$WILDLOOP_SERVER_URL/" in line for line in lines)


def test_wrong_use_of_a_line_says_what_to_do(
    lines: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    line = next(line for line in lines if line.endswith('/runs/$RUN_ID"') and "-X" not in line)
    status, text = call(line, environment | {"RUN_ID": "nothing"})
    assert status == 404
    assert json.loads(text) == {"detail": "no run with id 'nothing'"}
