"""A session by any of its names: its own id, the beginning of it, a front end's id."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.project import make_project
from tests.support.script import Script
from tests.support.server import Server
from wildloop.shim.client.api import ApiClient
from wildloop.shim.client.errors import ClientError

pytestmark = pytest.mark.e2e


class Named:
    """A session that a front end has started, whose agent is busy, with a budget of runs."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.front = f"chat-{uuid4().hex[:6]}"
        script = Script(folder / "script").shell(1, "sleep 600")
        project = make_project(folder / "project")
        self.id = server.start(
            project, script.agent, chat_session_id=self.front, budget={"runs": 6}
        )
        self.names = (self.id, self.id[:8], self.front)


@pytest.fixture(scope="module")
def named(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Named]:
    found = Named(server, tmp_path_factory.mktemp("named"))
    yield found
    server.http.post("/wild/v2/stop", json={"session_id": found.id, "runs": "stop"})


def test_prefect_lists_it_by_goal_and_date(server: Server, named: Named) -> None:
    found = server.prefect.get(f"/flow_runs/{named.id}").json()
    goal = " ".join(found["parameters"]["goal"].split())
    assert re.fullmatch(re.escape(goal) + r", \d{4}-\d\d-\d\d", found["name"])


def test_every_door_knows_every_name(server: Server, named: Named) -> None:
    body = {"name": "r", "command": "true", "gpus": 0}
    sweeps, runs = [], []
    for name in named.names:
        runs.append(server.post("/runs", body | {"chat_session_id": name}))
        sweeps.append(
            server.post("/sweeps/wild", {"name": "w", "goal": "g", "chat_session_id": name})
        )
    assert {run["chat_session_id"] for run in runs} == {named.id}
    assert {run["front_end_id"] for run in runs} == {named.front}
    assert {sweep["chat_session_id"] for sweep in sweeps} == {named.id}
    alert = server.post(f"/runs/{runs[2]['id']}/alerts", {"message": "look"})
    ids = {run["id"] for run in runs}
    client = ApiClient(server.url, server.token)
    for name in named.names:
        assert ids <= {run["id"] for run in server.get("/runs", chat_session_id=name)}
        assert alert["id"] in [one["id"] for one in server.get("/alerts", session_id=name)]
        events = server.get(f"/wild/v2/events/{name}")
        assert f"alert:{alert['id']}" in [event["id"] for event in events]
        for kind in ("chat_session_id", "session_id"):
            assert server.get("/wild/v2/status", **{kind: name})["session_id"] == named.id
        for path in ("plan", "iteration-log", "activity", "results", "evidence", "diff", "report"):
            assert server.get(f"/wild/v2/{path}/{name}")["session_id"] == named.id
        assert client.session(name).session_id == named.id
    assert client.full_id("session", named.id[:4]) == named.id
    with pytest.raises(ClientError, match="no session"):
        client.session("chat-nobody")
    steered = server.post("/wild/v2/steer", {"chat_session_id": named.front, "context": "hello"})
    assert (steered["session_id"], steered["chat_session_id"]) == (named.id, named.front)


def test_the_budget_holds_by_every_name(server: Server, named: Named) -> None:
    def created(name: str) -> int:
        body = {"name": "more", "command": "true", "gpus": 0, "chat_session_id": name}
        return server.http.post("/runs", json=body).status_code

    answers = [created(name) for name in (*named.names, *named.names, *named.names)]
    assert answers.count(201) <= 6 and answers[-3:] == [409, 409, 409]


def test_a_stop_by_the_front_ends_id_stops_its_runs(server: Server, tmp_path: Path) -> None:
    one = Named(server, tmp_path)
    run = server.run("sleep 300", chat_session_id=one.front)
    server.reaches(run["id"], "running")
    server.post("/wild/v2/stop", {"chat_session_id": one.front, "runs": "stop"})
    assert server.ended(run["id"])["status"] == "stopped"
    assert server.session_ended(one.id)["status"] == "stopped"


@pytest.mark.parametrize(
    "name", ["chat-nobody", "00000000", "0a1b2c3d-0000-4000-8000-000000000000"]
)
def test_what_names_no_session_is_404(server: Server, name: str) -> None:
    for path in ("plan", "events", "activity", "evidence"):
        answer = server.http.get(f"/wild/v2/{path}/{name}")
        assert answer.status_code == 404, path
        assert name in answer.json()["detail"]


def test_runs_of_a_front_end_before_its_session_are_listed_and_use_nothing_up(
    server: Server, tmp_path: Path
) -> None:
    front = f"early-{uuid4().hex[:6]}"
    early: dict[str, Any] = server.run("true", auto_start=False, chat_session_id=front)
    assert early["chat_session_id"] == front
    assert [run["id"] for run in server.get("/runs", chat_session_id=front)] == [early["id"]]
    script = Script(tmp_path / "script").shell(1, "sleep 600")
    project = make_project(tmp_path / "project")
    session_id = server.start(project, script.agent, chat_session_id=front, budget={"runs": 1})
    late = server.run("true", auto_start=False, chat_session_id=front)
    assert server.session(session_id)["runs"]["total"] == 1
    assert late["chat_session_id"] == session_id
    found = [run["id"] for run in server.get("/runs", chat_session_id=front)]
    assert found == [late["id"], early["id"]]
    server.post("/wild/v2/stop", {"session_id": session_id, "runs": "stop"})
    server.session_ended(session_id)
