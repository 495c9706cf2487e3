"""Prompt skills over HTTP: the whole app, in a project of the test's own."""

import base64
import os
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from tests.support.pace import patient
from tests.support.server import Server
from wildloop.flows.models.skill import MAX_FILE_BYTES, MAX_FILES
from wildloop.flows.prompt.sections import PromptContext
from wildloop.flows.settings import Settings
from wildloop.flows.skills import SkillLibrary, shipped_skills_path
from wildloop.shim.app import create_app

TOKEN = "secret-of-this-test"
SHIPPED = [skill.id for skill in SkillLibrary(shipped_skills_path()).all()]
# Section 2 of the contract: every skill may use these.
VARIABLES = [
    *("goal", "workdir", "iteration", "max_iterations", "tasks_path", "log_path", "server_url"),
    *("session_id", "steer_section", "struggle_section", "api_catalog", "auth_header", "memories"),
    *("experiment_results", "evo_sweep_section", "evo_sweep_enabled", "plan", "summary_of_work"),
    *("user_availability", "autonomy_level", "cluster_state", "budget_section"),
]
NEW = {"id": "mine", "description": "My own.", "template": "Hello {{ who }}."}
PREFIX = "/prompt-skills"


def settings(home: Path, workdir: Path, *, allow: bool = False) -> Settings:
    return Settings(
        home=home,
        server_url="http://localhost",
        token=SecretStr(TOKEN),
        workdir=workdir,
        allow_skill_install=allow,
    )


@cache
def app() -> FastAPI:
    """The whole app: FastAPI makes its routes at the first request, which takes half a second."""
    return create_app(settings(Path("/"), Path("/")))


def client(given: Settings, token: str | None = TOKEN) -> httpx.AsyncClient:
    app().state.settings = given
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app()),
        base_url="http://localhost",
        headers={"X-Auth-Token": token} if token else {},
    )


@pytest.fixture
async def http(tmp_path: Path, project: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with client(settings(tmp_path, project)) as made:
        yield made


@pytest.fixture
def folder(project: Path) -> Path:
    """Where the project keeps its skills."""
    return project / ".wild" / "skills"


def detail(response: httpx.Response) -> str:
    return str(response.json()["detail"])


async def put(http: httpx.AsyncClient, path: str, content: str, **more: str) -> httpx.Response:
    return await http.put(f"{PREFIX}/{path}", json={"content": content, **more})


async def test_created_skill_is_read_listed_found_and_on_disk(
    http: httpx.AsyncClient, folder: Path
) -> None:
    created = await http.post(PREFIX, json=NEW | {"name": "Mine", "category": "own"})
    assert created.status_code == 201
    skill = created.json()
    assert skill["variables"] == ["who"]
    assert (skill["source"], skill["shadows_shipped"]) == ("project", False)
    assert (await http.get(f"{PREFIX}/mine")).json() == skill
    assert "mine" in [one["id"] for one in (await http.get(PREFIX)).json()]
    found = (await http.get(f"{PREFIX}/search", params={"q": "hello"})).json()
    assert [one["id"] for one in found] == ["mine"]
    assert (folder / "mine" / "SKILL.md").read_text().endswith("---\nHello {{ who }}.")
    assert [path.name for path in folder.iterdir()] == ["mine"]


async def test_update_changes_what_is_given_and_keeps_the_rest(
    http: httpx.AsyncClient, folder: Path
) -> None:
    (folder / "hand").mkdir(parents=True)
    path = folder / "hand" / "SKILL.md"
    path.write_text("---\ndescription: d\nlicense: MIT\n---\n\nBy {{ a }}.\n")
    changed = (await http.put(f"{PREFIX}/hand", json={"name": "Hand"})).json()
    assert (changed["name"], changed["description"]) == ("Hand", "d")
    assert changed["template"] == "\nBy {{ a }}.\n"
    assert "license: MIT" in path.read_text()
    changed = (await http.put(f"{PREFIX}/hand", json={"template": "{{ b }}"})).json()
    assert (changed["name"], changed["variables"]) == ("Hand", ["b"])


async def test_shipped_skill_is_shadowed_by_a_write_and_back_after_delete(
    http: httpx.AsyncClient, folder: Path
) -> None:
    url = f"{PREFIX}/wild_v2_steer"
    shipped = (await http.get(url)).json()
    on_disk = (shipped_skills_path() / "wild_v2_steer" / "SKILL.md").read_bytes()
    changed = await http.put(url, json={"template": "Only {{ goal }}"})
    assert changed.status_code == 200
    assert (await http.get(url)).json()["template"] == "Only {{ goal }}"
    assert changed.json()["shadows_shipped"] is True
    assert (shipped_skills_path() / "wild_v2_steer" / "SKILL.md").read_bytes() == on_disk
    deleted = (await http.delete(url)).json()
    assert deleted == {"id": "wild_v2_steer", "restored_shipped": True}
    assert (await http.get(url)).json() == shipped
    assert list(folder.iterdir()) == []
    again = await http.delete(url)
    assert again.status_code == 409
    assert "ships with Wildloop" in detail(again)


async def test_deleted_skill_is_gone(http: httpx.AsyncClient) -> None:
    await http.post(PREFIX, json=NEW)
    assert (await http.delete(f"{PREFIX}/mine")).json()["restored_shipped"] is False
    for response in (await http.get(f"{PREFIX}/mine"), await http.delete(f"{PREFIX}/mine")):
        assert response.status_code == 404


async def test_a_skill_that_shadows_may_use_only_what_the_loop_gives(
    http: httpx.AsyncClient,
) -> None:
    refused = await http.put(f"{PREFIX}/wild_v2_iteration", json={"template": "{{ gaol }}"})
    assert refused.status_code == 422
    assert "does not give gaol" in detail(refused)
    assert (await http.get(f"{PREFIX}/wild_v2_iteration")).json()["source"] == "shipped"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/nope", None),
        ("PUT", "/nope", {"template": "x"}),
        ("DELETE", "/nope", None),
        ("POST", "/nope/render", {"variables": {}}),
        ("GET", "/nope/files", None),
        ("GET", "/nope/files/SKILL.md", None),
        ("PUT", "/nope/files/a.md", {"content": "x"}),
        ("GET", "/wild_v2_steer/files/none.md", None),
        ("GET", "/..%2f..%2fetc", None),
        ("GET", "/mine%0a", None),
        ("DELETE", "/%2e%2e", None),
    ],
)
async def test_unknown_ids_are_404(
    http: httpx.AsyncClient, method: str, path: str, body: Any
) -> None:
    await http.post(PREFIX, json=NEW)
    response = await http.request(method, PREFIX + path, json=body)
    assert response.status_code == 404
    assert response.json()["detail"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"template": "one\n{{ oh"}, "line 2"),
        ({"template": "a\nb\n{% if %}"}, "line 3"),
        ({"template": "{{ x | no_such_filter }}"}, "no_such_filter"),
        ({"template": "{% include 'other' %}"}, "includes other"),
        ({"template": "{{" + "(" * 5000 + ")" * 5000 + "}}"}, "template"),
        ({"template": "a\x00b"}, "NUL"),
        ({"template": "x" * (MAX_FILE_BYTES + 1)}, "template"),
        ({"template": None}, "template"),
        ({"description": " "}, "description"),
        ({"description": "a\nb"}, "one line"),
        ({"variables": []}, "also uses who"),
        ({"variables": ["a-b"]}, "variables"),
        ({"id": "../up"}, "id"),
        ({"id": "a/b"}, "id"),
        ({"id": "new\n"}, "id"),
        ({"id": "ünder"}, "id"),
        ({"id": ""}, "id"),
        ({"id": "install"}, "path of the API"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_bad_new_skill_is_refused_with_its_field(
    http: httpx.AsyncClient, folder: Path, change: dict[str, Any], said: str
) -> None:
    response = await http.post(PREFIX, json=NEW | change)
    assert response.status_code == 422, response.text
    assert said in detail(response)
    assert not folder.exists() or list(folder.iterdir()) == []


async def test_half_a_character_is_refused(http: httpx.AsyncClient) -> None:
    body = b'{"id": "mine", "description": "d", "template": "\\ud800"}'
    response = await http.post(PREFIX, content=body, headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert "template" in detail(response)


@pytest.mark.parametrize("id", ["mine", "wild_v2_steer"])
async def test_taken_id_is_a_conflict_that_names_the_way(http: httpx.AsyncClient, id: str) -> None:
    await http.post(PREFIX, json=NEW)
    response = await http.post(PREFIX, json=NEW | {"id": id})
    assert response.status_code == 409
    assert f"PUT {PREFIX}/{id}" in detail(response)


async def test_empty_update_is_refused(http: httpx.AsyncClient) -> None:
    response = await http.put(f"{PREFIX}/wild_v2_steer", json={})
    assert response.status_code == 422
    assert "nothing to change" in detail(response)


async def test_reload_counts_and_names_the_broken(http: httpx.AsyncClient, folder: Path) -> None:
    before = (await http.post(f"{PREFIX}/reload")).json()
    assert before == {"count": len(SHIPPED), "broken": []}
    (folder / "bad").mkdir(parents=True)
    (folder / "bad" / "SKILL.md").write_text("no front matter")
    after = (await http.post(f"{PREFIX}/reload")).json()
    assert after["count"] == len(SHIPPED) + 1
    assert [one["id"] for one in after["broken"]] == ["bad"]
    assert "front matter" in after["broken"][0]["description"]
    mended = await http.put(f"{PREFIX}/bad", json={"description": "d", "template": "t"})
    assert mended.json()["template"] == "t"


@pytest.mark.parametrize("id", SHIPPED)
async def test_every_shipped_skill_renders_with_every_variable(
    http: httpx.AsyncClient, id: str
) -> None:
    given: dict[str, Any] = {name: f"<<{name}>>" for name in PromptContext.model_fields}
    assert set(VARIABLES) <= set(given)
    given["evo_sweep_enabled"] = True
    response = await http.post(f"{PREFIX}/{id}/render", json={"variables": given})
    assert response.status_code == 200, response.text
    text = response.json()["rendered"]
    template = (await http.get(f"{PREFIX}/{id}")).json()["template"]
    used = [name for name in given if f"{{{{ {name} }}}}" in template]
    assert used
    assert [name for name in used if f"<<{name}>>" not in text] == []
    assert "{{" not in text


async def test_missing_and_unknown_variables_are_named(http: httpx.AsyncClient) -> None:
    url = f"{PREFIX}/wild_v2_steer/render"
    missing = await http.post(url, json={"variables": {"goal": "g", "steer_section": ""}})
    assert missing.status_code == 422
    assert "'tasks_path' is undefined" in detail(missing)
    unknown = await http.post(url, json={"variables": {"gaol": "g"}})
    assert unknown.status_code == 422
    assert "no variable 'gaol'" in detail(unknown)
    assert "tasks_path" in detail(unknown)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ self._TemplateReference__context }}",
        "{{ cycler.__init__.__globals__.os.environ }}",
        "{{ 1 / 0 }}",
        "{{ range(10 ** 9) | list }}",
        "{% for a in range(90000) %}{% for b in range(90000) %}" + "x" * 99 + "{% endfor %}"
        "{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
async def test_hostile_template_is_a_fault_and_no_crash(
    http: httpx.AsyncClient, template: str
) -> None:
    assert (await http.post(PREFIX, json=NEW | {"template": template})).status_code == 201
    response = await http.post(f"{PREFIX}/mine/render", json={"variables": {}})
    assert response.status_code == 422, response.text
    assert "skill 'mine'" in detail(response)
    assert TOKEN not in response.text


@pytest.mark.parametrize("body", [{"variables": []}, {"variables": None}, {"vars": {}}, [], "x"])
async def test_bad_render_body_is_refused(http: httpx.AsyncClient, body: Any) -> None:
    response = await http.post(f"{PREFIX}/wild_v2_steer/render", json=body)
    assert response.status_code == 422


async def test_files_are_written_listed_and_read(http: httpx.AsyncClient, folder: Path) -> None:
    await http.post(PREFIX, json=NEW)
    written = await put(http, "mine/files/notes/Über uns.md", "ä€")
    assert written.status_code == 200
    assert written.json()["content"] == "ä€"
    blob = base64.b64encode(b"\xff\x00").decode()
    assert (await put(http, "mine/files/b.bin", blob, encoding="base64")).status_code == 200
    files = (await http.get(f"{PREFIX}/mine/files")).json()
    assert [(file["path"], file["size"]) for file in files] == [
        ("SKILL.md", (folder / "mine" / "SKILL.md").stat().st_size),
        ("b.bin", 2),
        ("notes/Über uns.md", 5),
    ]
    read = (await http.get(f"{PREFIX}/mine/files/b.bin")).json()
    assert (read["content"], read["encoding"], read["size"]) == (blob, "base64", 2)
    assert (folder / "mine" / "notes" / "Über uns.md").read_text() == "ä€"


async def test_file_written_to_a_shipped_skill_makes_a_whole_copy(
    http: httpx.AsyncClient,
) -> None:
    assert (await put(http, "wild_v2_steer/files/extra.md", "more")).status_code == 200
    skill = (await http.get(f"{PREFIX}/wild_v2_steer")).json()
    assert skill["source"] == "project"
    files = (await http.get(f"{PREFIX}/wild_v2_steer/files")).json()
    assert [file["path"] for file in files] == ["SKILL.md", "extra.md"]
    assert not (shipped_skills_path() / "wild_v2_steer" / "extra.md").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no front matter", "front matter"),
        ("---\nname: x\n---\nbody", "description"),
        ("---\ndescription: d\n---\none\n{{ oh", "line 5"),
        ("---\n[1, 2]\n---\n", "mapping"),
        ("---\ndescription: 'd\n---\n", "front matter"),
    ],
)
async def test_broken_skill_file_is_refused_and_the_old_one_stays(
    http: httpx.AsyncClient, text: str, said: str
) -> None:
    before = (await http.post(PREFIX, json=NEW)).json()
    response = await put(http, "mine/files/SKILL.md", text)
    assert response.status_code == 422
    assert said in detail(response)
    assert (await http.get(f"{PREFIX}/mine")).json() == before


@pytest.mark.parametrize(
    "path",
    [
        "%2e%2e/other/SKILL.md",
        "%2e%2e%2fother",
        "a/%2e%2e/%2e%2e/x",
        "%2fetc/passwd",
        "/etc/passwd",
        "a//b",
        "a/",
        ".hidden",
        "a/.git/config",
        "a%00b",
        "a%0ab",
        "a%5c%2e%2e%5cb",
        "%e2%80%aeexe.md",
        "%ef%bc%8e%ef%bc%8e/x",
        "e%cc%81.md",
        "%ff",
        "skill.md",
        "sub/SKILL.md",
        "x" * 300,
        "a/" * 9 + "b",
        " a",
    ],
)
async def test_path_that_leads_out_or_deceives_is_refused(
    http: httpx.AsyncClient, folder: Path, path: str
) -> None:
    await http.post(PREFIX, json=NEW)
    await http.post(PREFIX, json=NEW | {"id": "other"})
    before = sorted(str(one) for one in folder.rglob("*"))
    for response in (
        await put(http, f"mine/files/{path}", "evil"),
        await http.get(f"{PREFIX}/mine/files/{path}"),
    ):
        assert response.status_code in (404, 422), response.text
        assert response.json()["detail"]
    assert sorted(str(one) for one in folder.rglob("*")) == before


async def test_links_are_neither_read_nor_written_through(
    http: httpx.AsyncClient, folder: Path, tmp_path: Path
) -> None:
    await http.post(PREFIX, json=NEW)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (folder / "mine" / "dir").symlink_to(outside)
    (folder / "mine" / "file").symlink_to(outside / "secret")
    os.mkfifo(folder / "mine" / "pipe")
    for path in ("dir/secret", "file", "pipe", "dir"):
        assert (await http.get(f"{PREFIX}/mine/files/{path}")).status_code == 404
    assert (await put(http, "mine/files/dir/new", "x")).status_code == 422
    assert (await put(http, "mine/files/SKILL.md/new", "x")).status_code == 422
    assert (await put(http, "mine/files/file", "x")).status_code == 200
    assert not (folder / "mine" / "file").is_symlink()
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    files = (await http.get(f"{PREFIX}/mine/files")).json()
    assert [file["path"] for file in files] == ["SKILL.md", "file"]


async def test_linked_skill_shows_nothing_of_where_it_leads(
    http: httpx.AsyncClient, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "SKILL.md").write_text("---\ndescription: top secret\n---\ntop secret")
    folder.mkdir(parents=True)
    (folder / "linked").symlink_to(outside)
    (folder / "half").mkdir()
    (folder / "half" / "SKILL.md").symlink_to(outside / "SKILL.md")
    for id in ("linked", "half"):
        for path in (id, f"{id}/files", f"{id}/files/SKILL.md"):
            response = await http.get(f"{PREFIX}/{path}")
            assert "top secret" not in response.text
        assert (await http.get(f"{PREFIX}/{id}")).status_code == 422
    assert (await http.get(f"{PREFIX}/linked/files")).status_code == 422
    assert (await http.get(f"{PREFIX}/half/files")).json() == []
    assert (await put(http, "linked/files/new.md", "x")).status_code == 422
    whole = {"description": "d", "template": "t"}
    assert (await http.put(f"{PREFIX}/linked", json=whole)).status_code == 422
    assert (await http.delete(f"{PREFIX}/linked")).status_code == 200
    assert sorted(path.name for path in outside.iterdir()) == ["SKILL.md"]


async def test_size_and_number_of_files_are_bounded(http: httpx.AsyncClient, folder: Path) -> None:
    await http.post(PREFIX, json=NEW)
    assert (await put(http, "mine/files/full", "x" * MAX_FILE_BYTES)).status_code == 200
    large = await put(http, "mine/files/large", "x" * (MAX_FILE_BYTES + 1))
    assert large.status_code == 422
    assert str(MAX_FILE_BYTES) in detail(large)
    (folder / "mine" / "by hand").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    assert (await http.get(f"{PREFIX}/mine/files/by hand")).status_code == 422
    for number in range(MAX_FILES - 3):
        (folder / "mine" / f"{number}.md").write_text("x")
    refused = await put(http, "mine/files/one-more", "x")
    assert refused.status_code == 422
    assert f"{MAX_FILES} files" in detail(refused)
    assert (await put(http, "mine/files/0.md", "new")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [{}, {"content": 1}, {"content": "x", "encoding": "latin-1"}, {"content": "x", "mode": 1}],
)
async def test_bad_file_body_is_refused(http: httpx.AsyncClient, body: Any) -> None:
    await http.post(PREFIX, json=NEW)
    assert (await http.put(f"{PREFIX}/mine/files/a", json=body)).status_code == 422


async def test_bad_base64_is_refused(http: httpx.AsyncClient) -> None:
    await http.post(PREFIX, json=NEW)
    response = await put(http, "mine/files/a", "ä", encoding="base64")
    assert response.status_code == 422
    assert "content" in detail(response)


async def test_folder_that_cannot_be_written_is_said(
    http: httpx.AsyncClient, project: Path
) -> None:
    (project / ".wild").mkdir()
    (project / ".wild" / "skills").write_text("a file in the way")
    response = await http.post(PREFIX, json=NEW)
    assert response.status_code in (409, 422)
    assert "in the way" in detail(response)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "", None, 200),
        ("GET", "/search?q=goal", None, 200),
        ("GET", "/wild_v2_steer", None, 200),
        ("GET", "/wild_v2_steer/files", None, 200),
        ("GET", "/wild_v2_steer/files/SKILL.md", None, 200),
        ("POST", "", NEW, 401),
        ("POST", "/reload", None, 401),
        ("POST", "/install", {"source": "/tmp"}, 401),
        ("POST", "/wild_v2_steer/render", {"variables": {}}, 401),
        ("PUT", "/wild_v2_steer", {"template": "x"}, 401),
        ("PUT", "/wild_v2_steer/files/a.md", {"content": "x"}, 401),
        ("DELETE", "/wild_v2_steer", None, 401),
    ],
)
async def test_reading_needs_no_token_and_writing_does(
    tmp_path: Path, project: Path, method: str, path: str, body: Any, status: int
) -> None:
    async with client(settings(tmp_path, project), token=None) as bare:
        response = await bare.request(method, PREFIX + path, json=body)
    assert response.status_code == status
    assert not (project / ".wild").exists()


async def test_install_is_off_unless_the_user_allows_it(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WILDLOOP_ALLOW_SKILL_INSTALL", raising=False)
    assert Settings.from_environment(project).allow_skill_install is False
    monkeypatch.setenv("WILDLOOP_ALLOW_SKILL_INSTALL", "1")
    assert Settings.from_environment(project).allow_skill_install is True
    source = tmp_path / "source"
    (source / "given").mkdir(parents=True)
    (source / "given" / "SKILL.md").write_text("---\ndescription: d\n---\nt")
    async with client(settings(tmp_path, project)) as off:
        refused = await off.post(f"{PREFIX}/install", json={"source": str(source)})
    assert refused.status_code == 403
    assert "WILDLOOP_ALLOW_SKILL_INSTALL=1" in detail(refused)
    async with client(settings(tmp_path, project, allow=True)) as on:
        done = await on.post(f"{PREFIX}/install", json={"source": str(source)})
        assert done.status_code == 201
        assert [skill["id"] for skill in done.json()["installed"]] == ["given"]
        assert (await on.get(f"{PREFIX}/given")).json()["template"] == "t"
        again = await on.post(f"{PREFIX}/install", json={"source": str(source)})
        assert again.status_code == 409


@pytest.mark.e2e
def test_real_server_serves_reading_and_writing(server: Server) -> None:
    url = f"{PREFIX}/alert_handler"
    shipped = server.get(url)
    try:
        changed = server.http.put(url, json={"template": "{{ goal }}"})
        assert changed.status_code == 200, changed.text
        assert (server.workdir / ".wild" / "skills" / "alert_handler" / "SKILL.md").is_file()
        rendered = server.post(f"{url}/render", {"variables": {"goal": "G"}})
        assert rendered == {"id": "alert_handler", "rendered": "G"}
    finally:
        assert server.http.delete(url).status_code == 200
    assert server.get(url) == shipped
    with httpx.Client(base_url=server.url, timeout=patient(30)) as bare:
        assert bare.get(url).status_code == 200
        assert bare.put(url, json={"template": "x"}).status_code == 401
        assert bare.post(f"{PREFIX}/install", json={"source": "/x"}).status_code == 401
    assert server.http.post(f"{PREFIX}/install", json={"source": "/x"}).status_code == 403
