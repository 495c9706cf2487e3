"""What an agent's token may do, over every operation that the API has."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.project import make_project
from tests.support.script import STOP, Script, planned
from tests.support.server import HANG_SECONDS, Server, wait_for
from wildloop.flows.session.agent_token import agent_token

pytestmark = pytest.mark.e2e
RUN = {"name": "one", "command": "true", "gpus": 0}
QUESTION = {"message": "go on?", "choices": ["yes", "no"]}


@dataclass
class Two:
    """Two sessions whose agents are at work, and what each has."""

    server: Server
    mine: str
    other: str
    things: dict[str, dict[str, str]]

    def agent(self, session_id: str) -> httpx.Client:
        """What the agent of a session asks with."""
        token = agent_token(self.server.token, session_id)
        return httpx.Client(
            base_url=self.server.url, headers={"X-Auth-Token": token}, timeout=HANG_SECONDS
        )

    def url(self, path: str, session_id: str) -> str:
        """A path about what belongs to a session."""
        ids = self.things[session_id] | {"index": "0", "path": "SKILL.md", "memory_id": "x"}
        ids |= {"skill_id": "wild_v2_planning", "configuration": "0123456789ab", "form": "md"}
        ids["other_run_id"] = ids["run_id"]
        return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], path)


@pytest.fixture(scope="module")
def two(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    things, scripts = {}, []
    for name in ("mine", "other"):
        folder = tmp_path_factory.mktemp(name)
        script = Script(folder / "script").reply(1, planned()).default(STOP)
        script.shell(2, "sleep 600")
        session_id = server.start(make_project(folder / "project"), script.agent)
        scripts.append(script)
        own = {"chat_session_id": session_id}
        run_id = server.post("/runs", RUN | own)["id"]
        things[session_id] = {
            "session_id": session_id,
            "run_id": run_id,
            "sweep_id": server.post("/sweeps/wild", {"name": "w", "goal": "g"} | own)["id"],
            "alert_id": server.post(f"/runs/{run_id}/alerts", QUESTION)["id"],
        }
    mine, other = things
    yield Two(server, mine, other, things)
    for session_id in things:
        server.http.post("/wild/v2/stop", json={"session_id": session_id, "runs": "stop"})


def operations(server: Server, access: str) -> list[tuple[str, str]]:
    """Method and path of the operations that are so open to agents."""
    return [
        (method.upper(), path)
        for path, item in server.get("/openapi.json")["paths"].items()
        for method, operation in item.items()
        if operation["x-wildloop-agents"] == access
    ]


def test_what_is_closed_is_refused_with_the_reason(two: Two) -> None:
    closed = operations(two.server, "closed")
    assert {
        ("POST", "/wild/v2/start"), ("POST", "/wild/v2/stop"), ("POST", "/wild/v2/pause"),
        ("POST", "/wild/v2/resume"), ("POST", "/wild/v2/steer"), ("POST", "/cluster"),
        ("PUT", "/prompt-skills/{skill_id}"), ("PATCH", "/memories/{memory_id}"),
    } <= set(closed)  # fmt: skip
    with two.agent(two.mine) as agent:
        for method, path in closed:
            answer = agent.request(method, two.url(path, two.mine), json={"goal": "g"})
            assert answer.status_code == 403, (method, path, answer.text)
            assert "is for the user" in answer.json()["detail"]


def test_all_that_changes_something_is_closed_or_own(two: Two) -> None:
    changing = [one for one in operations(two.server, "read") if one[0] != "GET"]
    assert changing == [("POST", "/prompt-skills/{skill_id}/render")]


def test_what_is_open_for_reading_can_be_read_of_every_session(two: Two) -> None:
    with two.agent(two.mine) as agent:
        for session_id in (two.mine, two.other):
            for method, path in operations(two.server, "read"):
                if path.endswith("/logs/stream") or "artifacts/" in path:
                    continue
                answer = agent.request(method, two.url(path, session_id), json={"variables": {}})
                assert answer.status_code not in (401, 403), (path, answer.text)


def test_what_is_anothers_cannot_be_changed(two: Two) -> None:
    with two.agent(two.mine) as agent:
        for method, path in operations(two.server, "own"):
            if "{" not in path:
                continue
            answer = agent.request(method, two.url(path, two.other), json=RUN)
            assert answer.status_code == 403, (method, path, answer.text)
            assert f"belongs to session '{two.other}'" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["chat_session_id", "session_id", "sweep_id"])
def test_no_id_in_a_body_leads_to_another_session(two: Two, name: str) -> None:
    others = {"chat_session_id": two.other} | two.things[two.other]
    with two.agent(two.mine) as agent:
        for method, path in operations(two.server, "own"):
            body = RUN | {"name": "cuckoo", name: others[name]}
            answer = agent.request(method, two.url(path, two.mine), json=body)
            assert answer.status_code == 403, (method, path, answer.text)
            invented = {"chat_session_id": "made-up"}
            assert agent.request(method, two.url(path, two.mine), json=RUN | invented).is_error
    assert not [run for run in two.server.get("/runs", limit=1000) if run["name"] == "cuckoo"]


def test_what_an_agent_creates_is_its_sessions(two: Two) -> None:
    with two.agent(two.mine) as agent:
        run = agent.post("/runs", json=RUN).json()
        grid = {"name": "g", "base_command": "true", "parameters": {"a": [1, 2]}, "gpus": 0}
        sweep = agent.post("/sweeps", json=grid).json()
        wild = agent.post("/sweeps/wild", json={"name": "w", "goal": "g"}).json()
        added = agent.post(f"/sweeps/{wild['id']}/runs", json=RUN).json()
        again = agent.post(f"/runs/{run['id']}/rerun").json()
        made = [run, sweep, wild, added, again, two.server.get(f"/runs/{sweep['run_ids'][0]}")]
        assert {one["chat_session_id"] for one in made} == {two.mine}
        assert agent.post(f"/runs/{run['id']}/start").status_code == 200
        assert agent.post(f"/runs/{added['id']}/stop").status_code == 200
        url = two.url("/alerts/{alert_id}/respond", two.mine)
        assert agent.post(url, json={"choice": "yes"}).json()["choice"] == "yes"


def test_a_memory_of_an_agent_is_marked_so(two: Two) -> None:
    body = {"content": "Small steps.", "source": "user", "project": "/elsewhere"}
    with two.agent(two.mine) as agent:
        memory = agent.post("/memories", json=body).json()
    assert (memory["source"], memory["session_id"]) == ("agent", two.mine)
    assert memory["project"] == two.server.session(two.mine)["workdir"]


def test_what_is_nobodys_is_not_an_agents(two: Two) -> None:
    run_id = two.server.post("/runs", RUN)["id"]
    with two.agent(two.mine) as agent:
        answer = agent.post(f"/runs/{run_id}/start")
    assert answer.status_code == 403
    assert "belongs to no session" in answer.json()["detail"]


def test_a_token_ends_with_its_session(server: Server, project: Path, tmp_path: Path) -> None:
    agent = f"command:cat > /dev/null; echo $WILDLOOP_AUTH_TOKEN > '{tmp_path}/token'"
    session_id = server.start(project, agent, max_iterations=1)
    token = wait_for(lambda: _text(tmp_path / "token"), "the agent is called")
    assert token == agent_token(server.token, session_id)
    server.http.post("/wild/v2/stop", json={"session_id": session_id})
    server.session_ended(session_id)
    for method, path, body in (("GET", "/runs", None), ("POST", "/runs", RUN)):
        answer = httpx.request(
            method,
            server.url + path,
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=HANG_SECONDS,
        )
        assert answer.status_code == 403, answer.text
        assert f"session '{session_id}' has ended" in answer.json()["detail"]
    live = {"chat_session_id": session_id}
    assert server.http.post("/runs", json=RUN | live).status_code == 201, "its user may go on"


def test_made_up_tokens_are_refused(server: Server, two: Any) -> None:
    for token in (agent_token("guessed", two.mine), agent_token(server.token, "no-session")):
        answer = httpx.get(
            f"{server.url}/runs", headers={"X-Auth-Token": token}, timeout=HANG_SECONDS
        )
        assert answer.status_code in (401, 403)


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
