"""Every path of the API's contract: success, unknown id, bad body, missing token.

An operation without a row here fails, so the table stays whole.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.routing import Route

from tests.support.pace import patient
from tests.support.project import make_project
from tests.support.server import Server
from wildloop.flows.settings import Settings
from wildloop.shim.app import ROUTERS, create_app

OPEN = {
    "GET /health",
    "GET /ready",
    "GET /wild/v2/system-health",
    "GET /prompt-skills",
    "GET /prompt-skills/search",
    "GET /prompt-skills/{skill_id}",
    "GET /prompt-skills/{skill_id}/text",
    "GET /prompt-skills/{skill_id}/files",
    "GET /prompt-skills/{skill_id}/files/{path}",
}


@dataclass(frozen=True)
class Row:
    """One operation: a body that is good, the status it brings, and a body that is bad."""

    name: str
    body: Any = None
    status: int = 200
    bad: Any = None
    query: str = ""
    also: tuple[int, ...] = ()

    @property
    def method(self) -> str:
        """GET, POST..."""
        return self.name.split(" ")[0]

    @property
    def path(self) -> str:
        """With placeholders, but for the forms, which are few words."""
        path = self.name.split(" ")[1]
        return path.replace("share/{form}", "share/md").replace("table/{form}", "table/csv")


NOT_AN_OBJECT = [1]
RUN = {"name": "row", "command": "true", "gpus": 0}
SKILL = {"id": "row_skill", "description": "A row.", "template": "Goal: {{ goal }}"}
ROWS = [
    Row("GET /health"),
    Row("GET /ready"),
    Row("GET /metrics"),
    Row("GET /openapi.json"),
    Row("GET /docs"),
    Row("POST /sweeps/wild", {"name": "row", "goal": "g"}, 201, {"name": ""}),
    Row(
        "POST /sweeps",
        {"name": "row", "base_command": "true", "parameters": {"a": [1, 2]}},
        201,
        {"name": "row", "base_command": "true", "parameters": {"a": 1}},
    ),
    Row("GET /sweeps", query="?limit=5"),
    Row("GET /sweeps/{sweep_id}"),
    Row("PUT /sweeps/{sweep_id}", {"name": "row 2"}, 200, {"name": ""}),
    Row("POST /sweeps/{sweep_id}/start"),
    Row("POST /sweeps/{sweep_id}/runs", RUN, 201, NOT_AN_OBJECT),
    Row("POST /runs/{ready_run_id}/add-to-sweep", {"sweep_id": "{sweep_id}"}, 200, NOT_AN_OBJECT),
    Row("POST /runs", RUN, 201, {"name": "row", "command": "  "}),
    Row("GET /runs", query="?limit=5&status=finished"),
    Row("GET /runs/{run_id}"),
    Row("PUT /runs/{ready_run_id}", {"name": "other"}, 200, {"name": "a", "unknown": 1}),
    Row("POST /runs/{ready_run_id}/queue"),
    Row("POST /runs/{ready_run_id}/start"),
    Row("POST /runs/{ready_run_id}/stop"),
    Row("POST /runs/{run_id}/rerun", {"auto_start": False}, 201, NOT_AN_OBJECT),
    Row("POST /runs/{run_id}/archive"),
    Row("POST /runs/{run_id}/unarchive"),
    Row("POST /runs/{run_id}/status", {"status": "finished"}, 200, {"status": "x"}),
    Row("POST /runs/{run_id}/withdraw", {"reason": "row"}, 200, {"reason": " "}, also=(409,)),
    Row("GET /runs/{run_id}/logs", query="?offset=0&limit=10"),
    Row("GET /runs/{run_id}/logs/stream"),
    Row("GET /runs/{run_id}/metrics"),
    Row("POST /runs/{ready_run_id}/code", {"have": []}, 200, {"have": ["x"]}),
    Row(
        "POST /runs/{ready_run_id}/copy",
        {"host": "row", "parts": [{"path": "a.txt", "data": "YQ=="}]},
        200,
        {"host": "row", "parts": [{"path": "../a"}]},
    ),
    Row("POST /runs/{ready_run_id}/metrics", {"step": 1, "loss": 0.5}, 200, {"step": "x"}),
    Row("GET /runs/{run_id}/compare/{other_run_id}"),
    Row("GET /runs/{run_id}/artifacts"),
    Row("GET /runs/{run_id}/artifacts/{file}"),
    Row("GET /runs/{run_id}/alerts"),
    Row("POST /runs/{run_id}/alerts", {"message": "row"}, 200, {"message": ""}),
    Row("GET /alerts"),
    Row("GET /alerts/{alert_id}"),
    Row("GET /alerts/{alert_id}/wait", query="?timeout=0"),
    Row("POST /alerts/{alert_id}/respond", {"choice": "continue"}, 200, NOT_AN_OBJECT),
    Row("POST /cluster/detect", {}, 200, {"preferred_type": "x"}),
    Row("GET /cluster"),
    Row("POST /cluster", {"type": "cpu_only"}, 200, {"type": "x"}),
    Row("GET /wild/v2/system-health"),
    # In a folder of its own: what is written beside a session goes onto its branch.
    Row(
        "POST /wild/v2/start",
        {"goal": "g", "agent": "command:false", "workdir": "{folder}"},
        201,
        {"goal": " "},
    ),
    Row("GET /wild/v2/sessions", query="?limit=5"),
    # The agent that it has there does not answer; that is told with the question.
    Row(
        "POST /wild/v2/ask/{session_id}", {"question": "why?"}, 202, {"question": " "}, also=(409,)
    ),
    Row("GET /wild/v2/ask/{session_id}"),
    Row("GET /wild/v2/status", query="?session_id={session_id}"),
    Row("GET /wild/v2/plan/{session_id}"),
    Row("GET /wild/v2/iteration-log/{session_id}"),
    Row("GET /wild/v2/report/{session_id}"),
    Row("GET /wild/v2/report/{session_id}/html", query="?now=true"),
    Row("GET /wild/v2/report/{session_id}/runs.csv"),
    Row("GET /wild/v2/report/{session_id}/share/{form}"),
    Row("GET /wild/v2/report/{session_id}/table/{form}"),
    Row("GET /wild/v2/activity/{session_id}", query="?offset=-2000"),
    Row("GET /wild/v2/results/{session_id}"),
    Row("GET /wild/v2/evidence/{session_id}"),
    Row("GET /wild/v2/tree/{session_id}"),
    Row("GET /wild/v2/kept/{session_id}"),
    Row("GET /wild/v2/contract/{session_id}"),
    Row("GET /wild/v2/diff/{session_id}", query="?since=start"),
    Row(
        "PUT /wild/v2/contract/{session_id}", {"target": 0.9}, 200, {"direction": "x"}, also=(409,)
    ),
    Row("POST /wild/v2/verify", {"id": "{session_id}"}, 409, {"id": " "}),
    Row("GET /wild/v2/verify/{session_id}/{configuration}", None, 404),
    Row("GET /wild/v2/iterations/{session_id}/{index}", None, 404),
    Row("GET /wild/v2/events/{session_id}"),
    Row("GET /wild/v2/evo-sweep/{session_id}", None, 404),
    Row("POST /wild/v2/evo-sweep/{session_id}/stop", None, 404, {"runs": "some"}),
    Row(
        "POST /wild/v2/steer",
        {"context": "smaller", "session_id": "{session_id}"},
        200,
        {"context": " "},
    ),
    Row(
        "POST /wild/v2/events/{session_id}/resolve",
        {"event_ids": ["{event_id}"]},
        200,
        {"event_ids": []},
    ),
    Row("POST /wild/v2/page-link"),
    Row("POST /wild/v2/pause", {"session_id": "{session_id}"}, 200, NOT_AN_OBJECT),
    Row("POST /wild/v2/resume", {"session_id": "{session_id}"}, 200, NOT_AN_OBJECT),
    Row("POST /wild/v2/stop", {"session_id": "{session_id}"}, 200, {"runs": "some"}),
    Row("GET /wild/v2/prompt/{session_id}"),
    Row("GET /prompt-skills"),
    Row("GET /prompt-skills/search", query="?q=plan"),
    Row("POST /prompt-skills", SKILL, 201, {"id": "../x"}),
    Row("POST /prompt-skills/reload"),
    Row("POST /prompt-skills/install", {"source": "/nowhere"}, 403, NOT_AN_OBJECT),
    Row("GET /prompt-skills/{skill_id}"),
    Row("PUT /prompt-skills/{skill_id}", {"description": "Another."}, 200, NOT_AN_OBJECT),
    Row("POST /prompt-skills/{skill_id}/render", {"variables": {"goal": "g"}}, 200, [1]),
    Row("PUT /prompt-skills/{skill_id}/files/{path}", {"content": "a"}, 200, NOT_AN_OBJECT),
    Row("GET /prompt-skills/{skill_id}/text"),
    Row("GET /prompt-skills/{skill_id}/files"),
    Row("GET /prompt-skills/{skill_id}/files/{path}"),
    Row("DELETE /prompt-skills/{skill_id}"),
    Row("POST /memories", {"content": "row"}, 201, {"content": " "}),
    Row("GET /memories"),
    Row("GET /memories/{memory_id}"),
    Row("PATCH /memories/{memory_id}", {"title": "row"}, 200, NOT_AN_OBJECT),
    Row("DELETE /memories/{memory_id}", status=204),
]


class Things:
    """What the rows' placeholders stand for."""

    def __init__(self, server: Server, project: Path) -> None:
        self.server = server
        run = server.run("true", gpus=0)
        server.ended(run["id"])
        self.ids = {
            "run_id": run["id"],
            "other_run_id": run["id"],
            "sweep_id": server.post("/sweeps/wild", {"name": "s", "goal": "g"})["id"],
            "session_id": server.start(project, "command:sleep 600"),
            "skill_id": "row_skill",
            "path": "notes.md",
            "file": "run.log",
            "folder": str(make_project(project.parent / "another")),
            "index": "0",
            "configuration": "none",
        }
        server.wait_for(
            lambda: server.session(self.ids["session_id"])["phase"] == "planning",
            "the session plans",
        )

    def fill(self, value: Any) -> Any:
        """The value with ids in place of placeholders; what is used up is made anew."""
        if isinstance(value, dict):
            return {key: self.fill(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if not isinstance(value, str):
            return value
        return re.sub(r"\{(\w+)\}", lambda match: self.id_of(match[1]), value)

    def id_of(self, name: str) -> str:
        """The id behind a placeholder."""
        makers = {
            "ready_run_id": lambda: self.server.post("/runs", RUN)["id"],
            "event_id": lambda: self.server.get(f"/wild/v2/events/{self.ids['session_id']}")[0][
                "id"
            ],
            "alert_id": lambda: self.server.post(
                f"/runs/{self.ids['run_id']}/alerts", {"message": "row"}
            )["id"],
            "memory_id": lambda: self.server.post("/memories", {"content": str(uuid.uuid4())})[
                "id"
            ],
        }
        return str(makers[name]()) if name in makers else self.ids[name]


@pytest.fixture(scope="module")
def things(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Things]:
    made = Things(server, make_project(tmp_path_factory.mktemp("rows") / "project"))
    yield made
    server.http.post("/wild/v2/stop", json={"session_id": made.ids["session_id"], "runs": "stop"})


def operation(row: Row) -> str:
    """The row's name as the schema has it."""
    return row.name.replace("ready_", "").replace("{file}", "{path}")


def names(rows: list[Row]) -> list[Any]:
    return [pytest.param(row, id=row.name) for row in rows]


@pytest.mark.parametrize("row", names(ROWS))
def test_success(things: Things, row: Row) -> None:
    url = things.fill(row.path + row.query)
    body = things.fill(row.body)
    answer = things.server.http.request(row.method, url, json=body)
    assert answer.status_code in (row.status, *row.also), answer.text
    if answer.is_error:
        assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize("row", names([row for row in ROWS if "{" in row.path]))
@pytest.mark.parametrize("unknown", ["00000000-0000-4000-8000-000000000000", "no such", "%00"])
def test_unknown_id_is_404(server: Server, row: Row, unknown: str) -> None:
    url = re.sub(r"\{\w+\}", unknown, row.path, count=1).replace("{index}", "0")
    url = re.sub(r"\{\w+\}", "a.md", url)
    answer = server.http.request(row.method, url, json=row.body)
    assert answer.status_code == 404 or (unknown != "no such" and answer.status_code == 422)
    assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize("row", names([row for row in ROWS if row.bad is not None]))
def test_bad_body_is_422_that_names_the_place(things: Things, row: Row) -> None:
    answer = things.server.http.request(row.method, things.fill(row.path), json=row.bad)
    assert answer.status_code == 422, answer.text
    assert all(fault["loc"] and fault["msg"] for fault in answer.json()["detail"])


PAGES = ("/docs", "/openapi.json")
FREE_KEYS = ("POST /runs/{ready_run_id}/metrics",)


@pytest.mark.parametrize("row", names([row for row in ROWS if row.path not in PAGES]))
def test_no_parameter_is_passed_over_in_silence(things: Things, row: Row) -> None:
    url = re.sub(r"\{\w+\}", "x", row.path) + "?parallell=1"
    answer = things.server.http.request(row.method, url, json=row.body)
    assert answer.status_code == 422, answer.text
    assert "'parallell'" in answer.json()["detail"]


@pytest.mark.parametrize(
    "row", names([row for row in ROWS if isinstance(row.body, dict) and row.name not in FREE_KEYS])
)
def test_no_key_is_passed_over_in_silence(server: Server, row: Row) -> None:
    url = re.sub(r"\{\w+\}", "00000000-0000-4000-8000-000000000000", row.path)
    answer = server.http.request(row.method, url, json=row.body | {"no_such_key": 1})
    assert answer.status_code == 422, answer.text
    assert "'no_such_key'" in answer.text


@pytest.mark.parametrize("row", names([row for row in ROWS if row.path not in PAGES]))
def test_no_body_is_passed_over_in_silence(server: Server, row: Row) -> None:
    url = re.sub(r"\{\w+\}", "00000000-0000-4000-8000-000000000000", row.path)
    answer = server.http.request(row.method, url, json={"no_such_key": [1]})
    if row.name in FREE_KEYS:
        assert answer.status_code == 404
        return
    assert answer.status_code == 422, answer.text
    assert row.body is not None or "'no_such_key'" in answer.text


@pytest.mark.parametrize("content", [b"", b" ", b"{}", b"null"])
def test_a_body_that_says_nothing_is_taken_where_none_is_needed(
    server: Server, content: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    assert server.http.request("GET", "/runs", content=content, headers=headers).is_success
    refused = server.http.request("GET", "/runs", content=b"[", headers=headers)
    assert refused.status_code == 422 and "none is taken" in refused.json()["detail"]


def test_the_nearest_name_is_told(server: Server) -> None:
    asked = server.http.get("/runs", params={"chat_sesion_id": "x"})
    assert "did you mean 'chat_session_id'?" in asked.json()["detail"]
    made = server.http.post("/runs", json=RUN | {"timeout_second": 3})
    assert "did you mean 'timeout_seconds'?" in made.text
    twice = server.http.get("/runs?limit=1&limit=2")
    assert twice.status_code == 422 and "given twice" in twice.json()["detail"]


@pytest.mark.parametrize("row", names([row for row in ROWS if row.body is not None]))
@pytest.mark.parametrize("content", [b"{", b'{"name": "\xff"}', b"[" * 100_000])
def test_body_that_is_no_json_is_refused(server: Server, row: Row, content: bytes) -> None:
    url = re.sub(r"\{\w+\}", "x", row.path)
    headers = {"Content-Type": "application/json"}
    answer = server.http.request(row.method, url, content=content, headers=headers)
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


@pytest.mark.parametrize("row", names(ROWS))
def test_token_is_needed_but_for_what_agents_probe(server: Server, row: Row) -> None:
    url = server.url + re.sub(r"\{\w+\}", "x", row.path)
    answer = httpx.request(row.method, url, json=row.body, timeout=patient(30))
    open_to_all = row.name in OPEN or row.path in ("/docs", "/openapi.json")
    assert (answer.status_code != 401) is open_to_all


def test_the_table_is_whole(server: Server) -> None:
    schema = server.get("/openapi.json")
    told = {f"{method.upper()} {path}" for path, item in schema["paths"].items() for method in item}
    rows = {operation(row) for row in ROWS}
    assert rows == told | {"GET /docs", "GET /openapi.json"}, "give each new operation a row"
    settings = Settings(home=Path("/"), server_url="http://s", token=None, workdir=Path("/"))
    served = {
        f"{method} {re.sub(r':path}', '}', route.path)}"
        for router in (create_app(settings), *(module.router for module in ROUTERS))
        for route in router.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert len(served) >= len(rows)
    # The page's own are in tests/shim/page: / leads to it.
    hidden = {"GET /"}
    assert served - rows == hidden, "give a hidden route a row, too"


def test_every_body_has_a_bad_one(server: Server) -> None:
    schema = server.get("/openapi.json")
    without = {
        operation(row)
        for row in ROWS
        if row.bad is None
        and "requestBody"
        in schema["paths"].get(operation(row).split(" ")[1], {}).get(row.method.lower(), {})
    }
    assert without == set()


UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [
        ("POST", "/runs", RUN | {"sweep_id": UNKNOWN}),
        ("PUT", "/runs/{ready_run_id}", {"sweep_id": UNKNOWN}),
        ("POST", "/runs/{ready_run_id}/add-to-sweep", {"sweep_id": UNKNOWN}),
        ("POST", "/memories", {"content": "row", "session_id": UNKNOWN}),
        ("POST", "/wild/v2/stop", {"session_id": UNKNOWN}),
        ("POST", "/wild/v2/pause", {"session_id": UNKNOWN}),
        ("POST", "/wild/v2/resume", {"chat_session_id": UNKNOWN}),
        ("POST", "/wild/v2/steer", {"session_id": UNKNOWN, "context": "smaller"}),
        ("GET", f"/wild/v2/status?session_id={UNKNOWN}", None),
        ("GET", f"/wild/v2/status?chat_session_id={UNKNOWN}", None),
    ],
)
def test_unknown_id_in_a_body_or_query_is_404(
    things: Things, method: str, url: str, body: Any
) -> None:
    answer = things.server.http.request(method, things.fill(url), json=body)
    assert answer.status_code == 404, answer.text
    assert UNKNOWN in answer.json()["detail"]


def test_unknown_path_and_method_are_refused_as_json(server: Server) -> None:
    assert server.http.get("/nothing").json() == {"detail": "Not Found"}
    answer = server.http.delete("/runs")
    assert (answer.status_code, "detail" in answer.json()) == (405, True)
    assert answer.headers["Allow"] == "GET, POST"


@pytest.mark.parametrize("number", ["1000000000000000000000000000000", "1e30"])
def test_number_that_prefect_cannot_read_back_spoils_no_list(server: Server, number: str) -> None:
    body = f'{{"name": "large", "command": "true", "parameters": {{"a": {number}}}}}'
    answer = server.http.post("/runs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert "body.parameters.a" in answer.json()["detail"]
    assert server.http.get("/runs").status_code == 200


def test_chunked_body_above_the_limit_is_refused(server: Server) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 65_536

    try:
        answer = server.http.post("/runs", content=endless())
    except httpx.WriteError:
        # The server closes while the client still sends: it was refused, too.
        return
    assert answer.status_code == 413
    assert "2097152" in answer.json()["detail"]
