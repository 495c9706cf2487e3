"""The memory bank over HTTP, on a real server; each test in a project of its own."""

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.pace import patient
from tests.support.script import DONE, STOP, Script, planned
from tests.support.server import Server

pytestmark = pytest.mark.server
LESSON = "Learning rates above 0.5 diverge."


@pytest.fixture
def bank(tmp_path: Path) -> str:
    """The folder of a project that nobody else writes about."""
    return str(tmp_path / "projekt ü")


def keep(server: Server, project: str, content: str = LESSON, **fields: Any) -> dict[str, Any]:
    body = {"content": content, "project": project, **fields}
    response = server.http.post("/memories", json=body)
    assert response.status_code in (200, 201), response.text
    return dict(response.json())


def listed(server: Server, project: str, **query: Any) -> list[dict[str, Any]]:
    return list(server.get("/memories", project=project, **query))


def test_kept_memory_is_read_and_listed(server: Server, bank: str) -> None:
    made = keep(server, bank, title="Rates", tag="gotcha", source="agent")
    assert made["id"]
    assert made == {
        **made,
        "title": "Rates",
        "content": LESSON,
        "tag": "gotcha",
        "source": "agent",
        "session_id": None,
        "project": bank,
        "is_active": True,
        "uses": 0,
    }
    assert made["created_at"] == made["updated_at"] > 1_700_000_000
    assert server.get(f"/memories/{made['id']}") == made
    assert listed(server, bank) == [made]
    assert made in server.get("/memories", limit=1000)
    assert listed(server, bank + "/other") == []


def test_defaults_are_a_lesson_of_the_user_about_the_servers_project(server: Server) -> None:
    made = server.post("/memories", {"content": "The default project has a metric named score."})
    try:
        assert (made["tag"], made["source"]) == ("lesson", "user")
        assert made["project"] == str(server.workdir)
        assert made["content"].startswith("The default project")
    finally:
        assert server.http.delete(f"/memories/{made['id']}").status_code == 204


def test_same_text_is_kept_once_a_project(server: Server, bank: str) -> None:
    first = keep(server, bank)
    body = {"content": "  learning  rates above 0.5\n diverge", "project": bank + "/."}
    again = server.http.post("/memories", json=body)
    assert (again.status_code, again.json()) == (200, first)
    assert keep(server, bank + "/other")["id"] != first["id"]
    assert len(listed(server, bank)) == 1


def test_same_text_at_the_same_time_is_kept_once(server: Server, bank: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: keep(server, bank), range(4)))
    assert len({memory["id"] for memory in made}) == 1
    assert len(listed(server, bank)) == 1


def test_lists_newest_first_by_filter_and_page(server: Server, bank: str) -> None:
    first = keep(server, bank, "one Apple", tag="gotcha")
    second = keep(server, bank, "two pears", source="agent")
    third = keep(server, bank, "three", title="apple pie")
    ids = [memory["id"] for memory in listed(server, bank)]
    assert ids == [third["id"], second["id"], first["id"]]
    assert [m["id"] for m in listed(server, bank, tag="gotcha")] == [first["id"]]
    assert [m["id"] for m in listed(server, bank, source="agent")] == [second["id"]]
    assert [m["id"] for m in listed(server, bank, q="APPLE")] == [third["id"], first["id"]]
    assert [m["id"] for m in listed(server, bank, limit=1, offset=1)] == [second["id"]]
    assert listed(server, bank, session_id="nobody") == []


def test_change_is_a_new_version_and_keeps_the_rest(server: Server, bank: str) -> None:
    made = keep(server, bank, title="Rates")
    url = f"/memories/{made['id']}"
    changed = server.http.patch(url, json={"content": "Above 0.4.", "tag": "context"}).json()
    assert (changed["content"], changed["tag"], changed["title"]) == (
        "Above 0.4.",
        "context",
        "Rates",
    )
    assert changed["updated_at"] > changed["created_at"] == made["created_at"]
    assert server.http.patch(url, json={"title": None}).json()["title"] is None
    off = server.http.patch(url, json={"is_active": False}).json()
    assert server.get(url) == off
    assert listed(server, bank, is_active=True) == []
    assert listed(server, bank, is_active=False) == [off]
    versions = server.prefect.post(
        "/artifacts/filter", json={"artifacts": {"key": {"any_": [f"memory-{made['id']}"]}}}
    )
    assert len(versions.json()) == 4


def test_old_text_of_a_changed_memory_may_come_back_as_its_own(server: Server, bank: str) -> None:
    made = keep(server, bank)
    server.http.patch(f"/memories/{made['id']}", json={"content": "Something else."})
    again = keep(server, bank)
    assert again["id"] != made["id"]
    assert [m["content"] for m in listed(server, bank)] == [LESSON, "Something else."]
    same = server.http.patch(f"/memories/{made['id']}", json={"content": LESSON.upper()})
    assert same.status_code == 409
    assert again["id"] in same.json()["detail"]


def test_switched_off_memory_does_not_come_back_by_being_said_again(
    server: Server, bank: str
) -> None:
    made = keep(server, bank)
    server.http.patch(f"/memories/{made['id']}", json={"is_active": False})
    assert keep(server, bank)["is_active"] is False


def test_deleted_memory_is_gone_with_its_history(server: Server, bank: str) -> None:
    made = keep(server, bank)
    url = f"/memories/{made['id']}"
    server.http.patch(url, json={"title": "T"})
    assert server.http.delete(url).status_code == 204
    assert listed(server, bank) == []
    for method in ("GET", "DELETE"):
        assert server.http.request(method, url).status_code == 404
    assert server.http.patch(url, json={"title": "T"}).status_code == 404
    versions = server.prefect.post(
        "/artifacts/filter", json={"artifacts": {"key": {"any_": [f"memory-{made['id']}"]}}}
    )
    assert versions.json() == []
    assert keep(server, bank)["title"] is None


@pytest.mark.e2e
def test_session_reads_the_bank_and_adds_to_it(
    server: Server, project: Path, tmp_path: Path
) -> None:
    mine = keep(server, str(project), "Use bf16.", tag="preference")
    off = keep(server, str(project), "Outdated advice.")
    server.http.patch(f"/memories/{off['id']}", json={"is_active": False})
    script = Script(tmp_path / "script")
    (project / "a.md").touch()
    script.reply(1, planned("x") + "<promise>DONE</promise>")
    lessons = "<memories>\n- [gotcha] use BF16\n- [lesson] Width helps.\n</memories>"
    script.default(DONE + STOP + lessons)
    session_id = server.start(project, script.agent)
    session = server.session_ended(session_id)
    assert session["status"] == "completed", session["error"]
    assert "- [preference] Use bf16." in script.prompt(1)
    assert "Outdated advice" not in script.prompt(1)
    assert server.get(f"/memories/{mine['id']}")["uses"] == script.calls()
    (learnt,) = listed(server, str(project), session_id=session_id)
    assert (learnt["content"], learnt["source"]) == ("Width helps.", "reflection")
    about = server.post("/memories", {"content": "A note.", "session_id": session_id})
    assert (about["project"], about["session_id"]) == (str(project), session_id)


@pytest.mark.parametrize(
    ("id", "status"),
    [("nope", 404), ("a%00b", 422), ("%25", 404), ("uses-", 404), ("ü", 404), ("x" * 500, 404)],
)
def test_unknown_id_is_refused(server: Server, id: str, status: int) -> None:
    for method, body in (("GET", None), ("PATCH", {"title": "T"}), ("DELETE", None)):
        response = server.http.request(method, f"/memories/{id}", json=body)
        assert response.status_code == status, response.text
        assert response.json()["detail"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"content": None}, "content"),
        ({"content": " \n"}, "content"),
        ({"content": "x" * 4001}, "content"),
        ({"content": "a\x00b"}, "content"),
        ({"content": ["a"]}, "content"),
        ({"tag": "opinion"}, "tag"),
        ({"source": "god"}, "source"),
        ({"title": ""}, "title"),
        ({"project": "relative/path"}, "project"),
        ({"project": "/a\x00b"}, "project"),
        ({"uses": 9}, "uses"),
    ],
)
def test_bad_memory_is_refused_with_its_field(
    server: Server, bank: str, change: dict[str, Any], field: str
) -> None:
    body = {"content": "c", "project": bank} | change
    response = server.http.post("/memories", json=body)
    assert response.status_code == 422, response.text
    assert field in str(response.json()["detail"])
    assert listed(server, bank) == []


def test_memory_with_the_token_is_refused_without_repeating_it(server: Server, bank: str) -> None:
    made = keep(server, bank)
    for response in (
        server.http.post("/memories", json={"content": f"use {server.token}", "project": bank}),
        server.http.patch(f"/memories/{made['id']}", json={"title": server.token}),
    ):
        assert response.status_code == 422
        assert "token" in response.json()["detail"]
        assert server.token not in response.text
    assert listed(server, bank) == [made]


@pytest.mark.parametrize(
    "body",
    [{}, {"content": None}, {"content": ""}, {"tag": "x"}, {"is_active": None}, {"id": "x"}, []],
)
def test_bad_change_is_refused(server: Server, bank: str, body: Any) -> None:
    made = keep(server, bank)
    response = server.http.patch(f"/memories/{made['id']}", json=body)
    assert response.status_code == 422
    assert server.get(f"/memories/{made['id']}") == made


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1001}, {"tag": "x"}, {"project": "relative"}, {"offset": -1}]
)
def test_bad_query_is_refused(server: Server, query: dict[str, Any]) -> None:
    assert server.http.get("/memories", params=query).status_code == 422


def test_memory_of_an_unknown_session_is_404(server: Server, bank: str) -> None:
    for session_id in ("nope", "00000000-0000-0000-0000-000000000000"):
        body = {"content": "c", "project": bank, "session_id": session_id}
        response = server.http.post("/memories", json=body)
        assert response.status_code == 404
        assert session_id in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", ""), ("GET", "/a"), ("PATCH", "/a"), ("DELETE", "/a")],
)
def test_every_path_needs_the_token(server: Server, method: str, path: str) -> None:
    with httpx.Client(base_url=server.url, timeout=patient(30)) as bare:
        response = bare.request(method, f"/memories{path}", json={"content": "c"})
    assert response.status_code == 401
    assert server.token not in response.text


def memories(server: Server, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["wildloop", "memories", *arguments],
        env=server.env | {"COLUMNS": "250"},
        capture_output=True,
        text=True,
        timeout=patient(60),
    )


def test_memories_by_command_line(server: Server, bank: str) -> None:
    Path(bank).mkdir()
    made = json.loads(
        memories(server, "add", LESSON, "--tag", "gotcha", "--workdir", bank, "--json").stdout
    )
    assert (made["project"], made["tag"], made["confirmations"]) == (bank, "gotcha", 0)
    assert f"[gotcha] {LESSON}" in memories(server, "list", "--workdir", bank).stdout
    edited = memories(server, "edit", made["id"], "Rates above 0.6 diverge.", "--off")
    assert edited.stdout == f"{made['id']}\n  [gotcha] Rates above 0.6 diverge.\n"
    (found,) = json.loads(memories(server, "list", "--workdir", bank, "--json").stdout)
    assert (found["content"], found["is_active"]) == ("Rates above 0.6 diverge.", False)
    refused = memories(server, "edit", made["id"])
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert memories(server, "rm", made["id"]).stdout == f"deleted {made['id']}\n"
    gone = memories(server, "rm", made["id"])
    assert (gone.returncode, gone.stderr) == (
        1,
        f"wildloop: no memory with id '{made['id']}'\n",
    )
