"""The page's door: one-time links, the cookie, other sites, and the policy on every answer."""

from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import SecretStr
from starlette.testclient import TestClient

from wildloop.flows.errors import TooManyRequests
from wildloop.flows.session.agent_token import agent_token
from wildloop.flows.settings import Settings
from wildloop.shim.app import create_app
from wildloop.shim.page.access import (
    AUDIENCE,
    CODE_SECONDS,
    COOKIE_SECONDS,
    FAILURES_PER_MINUTE,
    MOST_CODES,
    PageAccess,
    is_from_here,
)
from wildloop.shim.page.app import ROUTERS
from wildloop.shim.page.guard import POLICY

TOKEN = "the-token-of-this-very-test"
HERE = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
WITH_TOKEN = {"X-Auth-Token": TOKEN}


def app_with(token: str | None) -> FastAPI:
    secret = SecretStr(token) if token is not None else None
    return create_app(
        Settings(home=Path("/"), server_url="http://s", token=secret, workdir=Path("/"))
    )


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A browser's view: redirects are looked at, cookies kept."""
    yield TestClient(app_with(TOKEN), follow_redirects=False)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_root_leads_to_the_page_and_the_page_to_the_login(client: TestClient) -> None:
    assert client.get("/").headers["location"] == "/page/"
    asked = client.get("/page/", headers={"Accept": "text/html"})
    assert (asked.status_code, asked.headers["location"]) == (303, "/page/login")
    by_script = client.get("/page/part/sessions", headers={"HX-Request": "true"})
    assert (by_script.status_code, by_script.headers["HX-Redirect"]) == (401, "/page/login")
    assert client.get("/page/events?of=now", headers={"Accept": "*/*"}).status_code == 401
    assert client.get("/page/login").status_code == 200


def test_the_token_logs_in_and_is_not_in_the_cookie(client: TestClient) -> None:
    answer = client.post("/page/login", data={"token": TOKEN}, headers=HERE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/page/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower()
    assert "Path=/page" in cookie and TOKEN not in cookie
    assert client.get("/page/login").headers["location"] == "/page/"


@pytest.mark.parametrize(
    "given", ["", "wrong", TOKEN[:-1], TOKEN + "x", "<script>alert(1)</script>"]
)
def test_a_wrong_token_is_refused_and_not_shown(client: TestClient, given: str) -> None:
    answer = client.post("/page/login", data={"token": given}, headers=HERE)
    assert answer.status_code == 401 and "set-cookie" not in answer.headers
    assert "<script>alert" not in answer.text


def test_an_agents_token_opens_no_page(client: TestClient) -> None:
    agents = agent_token(TOKEN, "some-session")
    assert client.post("/page/login", data={"token": agents}, headers=HERE).status_code == 401
    headers = {"X-Auth-Token": agents, "Accept": "text/html"}
    assert client.get("/page/", headers=headers).status_code == 303


def test_wrong_tokens_are_limited(client: TestClient) -> None:
    for _ in range(FAILURES_PER_MINUTE):
        client.post("/page/login", data={"token": "wrong"}, headers=HERE)
    answer = client.post("/page/login", data={"token": TOKEN}, headers=HERE)
    assert answer.status_code == 429 and "wildloop open" in answer.text


def test_the_limit_ends_after_a_minute() -> None:
    clock = Clock()
    access = PageAccess(TOKEN, clock)
    assert not any(access.is_token("wrong") for _ in range(FAILURES_PER_MINUTE))
    with pytest.raises(TooManyRequests):
        access.is_token(TOKEN)
    clock.now += 61
    assert access.is_token(TOKEN)


def test_a_link_is_good_once(client: TestClient) -> None:
    made = client.post("/wild/v2/page-link", headers=WITH_TOKEN).json()
    assert TOKEN not in made["path"]
    first = client.get(made["path"])
    assert first.status_code == 200 and "set-cookie" in first.headers
    again = client.get(made["path"])
    assert again.status_code == 401 and "set-cookie" not in again.headers
    assert "used before" in again.text
    assert client.get("/page/enter?code=").status_code == 401


def test_a_link_needs_the_users_token(client: TestClient) -> None:
    assert client.post("/wild/v2/page-link").status_code == 401
    client.post("/page/login", data={"token": TOKEN}, headers=HERE)
    assert client.post("/wild/v2/page-link", headers=HERE).status_code == 401


def test_a_link_is_good_for_two_minutes_and_few_are_kept() -> None:
    clock = Clock()
    access = PageAccess(TOKEN, clock)
    early, late = access.new_code(), access.new_code()
    clock.now += CODE_SECONDS - 1
    assert access.use_code(early)
    clock.now += 2
    assert not access.use_code(late)
    first = access.new_code()
    others = [access.new_code() for _ in range(MOST_CODES)]
    assert not access.use_code(first) and access.use_code(others[-1])


def test_the_cookie_outlives_the_process_and_ends_with_week_or_token() -> None:
    clock = Clock()
    before, after = PageAccess(TOKEN, clock), PageAccess(TOKEN, clock)
    cookies = {before.cookie_name: before.new_cookie()}
    assert after.lets_in(cookies)
    another = PageAccess("another token", clock)
    assert not another.lets_in({another.cookie_name: cookies[before.cookie_name]})
    assert another.cookie_name != before.cookie_name
    clock.now += COOKIE_SECONDS + 1
    assert not after.lets_in(cookies)


def test_a_forged_cookie_is_none() -> None:
    access = PageAccess(TOKEN)
    good = access.new_cookie()
    claims = {"aud": AUDIENCE, "exp": 9_999_999_999}
    forged = [
        "",
        TOKEN,
        good[:-2],
        jwt.encode(claims, TOKEN, algorithm="HS256"),
        jwt.encode(claims, "", algorithm="none"),
        agent_token(TOKEN, "some-session"),
        jwt.encode({"aud": AUDIENCE}, access._key, algorithm="HS256"),
    ]
    assert not any(access.lets_in({access.cookie_name: one}) for one in forged)
    assert access.lets_in({access.cookie_name: good})


def test_the_cookie_opens_nothing_but_the_page(client: TestClient) -> None:
    answer = client.post("/page/login", data={"token": TOKEN}, headers=HERE)
    name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
    sent = {"Cookie": f"{name}={value}"}
    for path in ("/runs", "/alerts", "/wild/v2/sessions", "/metrics", "/cluster"):
        assert client.get(path, headers=sent).status_code == 401
    assert client.post("/runs", json={}, headers=sent | HERE).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://testserver"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "null"},
        {"Origin": "http://testserver:81"},
        {},
    ],
)
@pytest.mark.parametrize("path", ["/page/login", "/page/logout", "/page/sessions/x/stop"])
def test_another_sites_post_is_refused(
    client: TestClient, headers: dict[str, str], path: str
) -> None:
    client.post("/page/login", data={"token": TOKEN}, headers=HERE)
    answer = client.post(path, data={"token": TOKEN}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_what_a_browser_says_of_where_it_comes_from() -> None:
    assert is_from_here({"sec-fetch-site": "same-origin"})
    assert is_from_here({"origin": "https://a:1", "host": "a:1"})
    assert not is_from_here({"origin": "https://a:2", "host": "a:1"})
    assert not is_from_here({"origin": "", "host": ""})


def pages() -> list[tuple[str, str]]:
    """Every route of the page, with something in place of its ids."""
    return [
        (method, "/page" + route.path.replace("{index}", "1").replace("{verb}", "stop"))
        for module in ROUTERS
        for route in module.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    ]


def test_every_answer_has_the_policy(client: TestClient) -> None:
    asked = [*pages(), ("GET", "/page/static/page.js"), ("GET", "/page/nothing")]
    assert len(asked) > 25
    for method, path in asked:
        for headers in ({}, {"Accept": "text/html"}, {"HX-Request": "true"}, HERE):
            answer = client.request(method, path, headers=headers)
            assert answer.headers["Content-Security-Policy"] == POLICY, path
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "unsafe" not in POLICY and "frame-ancestors 'none'" in POLICY


def test_without_a_cookie_no_page_says_anything(client: TestClient) -> None:
    for method, path in pages():
        if path in ("/page/login", "/page/enter"):
            continue
        answer = client.request(method, path, headers=HERE | {"Accept": "text/html"})
        assert (answer.status_code, answer.content) == (303, b""), path


def test_logging_out_takes_the_cookie_back(client: TestClient) -> None:
    client.post("/page/login", data={"token": TOKEN}, headers=HERE)
    answer = client.post("/page/logout", headers=HERE)
    assert (
        answer.headers["location"] == "/page/login" and "Max-Age=0" in answer.headers["set-cookie"]
    )


def test_a_server_without_a_token_asks_for_none_and_still_for_its_own_pages() -> None:
    client = TestClient(app_with(None), follow_redirects=False)
    assert client.get("/page/login").headers["location"] == "/page/"
    assert client.post("/page/sessions/x/stop").status_code == 403
    assert client.post("/wild/v2/page-link").status_code == 200


def test_docs_get_no_cookie_and_static_files_stay_in_their_folder(client: TestClient) -> None:
    client.post("/page/login", data={"token": TOKEN}, headers=HERE)
    assert "cookie" not in client.get("/docs").request.headers
    for path in ("../render.py", "%2e%2e/render.py", "..%2frender.py", "nothing.js"):
        assert client.get(f"/page/static/{path}").status_code in (303, 404)
