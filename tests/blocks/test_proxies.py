"""No proxy is asked for this machine or for a server of ours."""

import ast
import os
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import proxy_bypass_environment

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proxy import Proxy, listening_proxy
from wildloop.blocks.agents.base import AgentRequest
from wildloop.blocks.agents.command import CommandAgent
from wildloop.blocks.proxies import (
    around_proxies,
    async_transport_to,
    is_ours,
    keep_off_proxies,
    proxy_fault,
    proxy_variables,
    transport_to,
)
from wildloop.shim.client.api import ApiClient
from wildloop.shim.client.errors import ClientError

ROOT = Path(__file__).parents[2]
CALL = """\
import urllib.request, urllib.error
def ask(url):
    try:
        print(urllib.request.urlopen(url).status)
    except urllib.error.HTTPError as error:
        print(error.code)
"""
SERVER = {"WILDLOOP_SERVER_URL": "http://gpu-host:10000"}


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """Named by every variable of this process."""
    with listening_proxy() as found:
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        yield found


class Answers(BaseHTTPRequestHandler):
    """Answers every request by an empty list."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """A server of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://127.8.0.1", True),
        ("http://[::1]:1", True),
        ("http://localhost/v1", True),
        ("http://a.localhost/v1", True),
        ("http://gpu-host:10000/health", True),
        ("http://GPU-host", True),
        ("http://10.0.0.1/v1", False),
        ("https://localhost.example.org", False),
        ("https://not-gpu-host", False),
    ],
)
def test_ours_are_this_machine_and_the_configured_server(address: str, expected: bool) -> None:
    assert is_ours(address, SERVER) is expected


@pytest.mark.parametrize(
    ("prefect", "expected"),
    [("http://prefect.lan:4200/api", True), ("https://api.prefect.cloud/api", False)],
)
def test_a_prefect_server_is_asked_by_a_proxy_only_where_that_cannot_read(
    prefect: str, expected: bool
) -> None:
    assert is_ours(prefect, {"PREFECT_API_URL": prefect}) is expected


def test_the_users_own_exceptions_stay() -> None:
    found = around_proxies({"NO_PROXY": ".corp.example, 10.0.0.1", **SERVER})
    assert found["no_proxy"] == ".corp.example,10.0.0.1,127.0.0.1,localhost,::1,gpu-host"
    assert found["NO_PROXY"] == found["no_proxy"]


def test_a_star_stays_alone() -> None:
    assert around_proxies({"no_proxy": "*", **SERVER})["no_proxy"] == "*"


@given(st.text(alphabet="abc.,:*[] 1/", max_size=30))
def test_whatever_stood_there_loopback_is_excepted_once(text: str) -> None:
    once = around_proxies({"NO_PROXY": text, **SERVER})
    assert around_proxies({**once, **SERVER}) == once
    for host in ("127.0.0.1", "localhost", "gpu-host", "::1"):
        assert proxy_bypass_environment(f"{host}:80", {"no": once["no_proxy"]})


def test_brackets_that_break_httpx_are_taken_off(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost,[::1],[::2]:80")
    monkeypatch.delenv("no_proxy")
    with pytest.raises(httpx.InvalidURL):
        httpx.Client()
    keep_off_proxies(os.environ)
    httpx.Client().close()


def test_ipv6_networks_that_break_httpx_are_left_out(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,fd00::/8, ::1/128")
    monkeypatch.delenv("no_proxy")
    with pytest.raises(httpx.InvalidURL):
        httpx.Client()
    keep_off_proxies(os.environ)
    assert proxy_fault() is None
    assert os.environ["NO_PROXY"] == "10.0.0.0/8,127.0.0.1,localhost,::1"


def test_a_client_of_the_api_asks_no_proxy(proxy: Proxy, url: str) -> None:
    assert ApiClient(url, "secret").runs() == []
    with pytest.raises(ClientError):
        ApiClient("http://wildloop.invalid:1", "secret").runs()
    assert proxy.asked == []


async def test_transports_pass_by_the_proxy_for_ours_alone(proxy: Proxy, url: str) -> None:
    assert httpx.Client(transport=transport_to(url)).get(url).is_success
    async with httpx.AsyncClient(transport=async_transport_to(url)) as http:
        assert (await http.get(url)).is_success
    assert proxy.asked == []
    outside = "http://outside.example/"
    assert httpx.Client(transport=transport_to(outside)).get(outside).status_code == 403
    assert proxy.asked == ["GET http://outside.example/ HTTP/1.1"]


def test_a_process_that_was_kept_off_asks_none_by_any_client(proxy: Proxy, url: str) -> None:
    keep_off_proxies(os.environ)
    assert httpx.get(url).is_success
    assert httpx.get("http://outside.example/").status_code == 403
    assert len(proxy.asked) == 1


async def test_an_agent_keeps_the_proxy_for_the_outside(
    proxy: Proxy, url: str, project: Path
) -> None:
    code = f"{CALL}ask({url!r})\nask('http://outside.example/')\n"
    request = AgentRequest(
        prompt="", workdir=project, env=SERVER, timeout_seconds=120, record=project / ".wild/call"
    )
    (project / "call.py").write_text(code, encoding="utf-8")
    reply = await CommandAgent(command=f"{sys.executable} call.py").run(request)
    assert (reply.text.split(), reply.error) == (["200", "403"], None)
    assert proxy.asked == ["GET http://outside.example/ HTTP/1.1"]


def test_a_socks_proxy_is_taken(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in proxy.environment(scheme="socks5").items():
        monkeypatch.setenv(name, value)
    assert proxy_fault() is None


def test_a_proxy_that_cannot_be_used_is_one_line_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "gopher://user:pass-word@proxy:70")
    fault = proxy_fault() or ""
    assert fault.startswith("https_proxy: no proxy can be used")
    assert "pass-word" not in fault and "\n" not in fault
    assert proxy_variables({"https_proxy": "http://user:pass-word@proxy:70"}) == {
        "https_proxy": "http://proxy:70"
    }


def test_every_client_of_ours_is_given_its_way() -> None:
    """One made without `transport` would follow the variables, whatever it is sent to."""
    without = []
    for path in (
        file for floor in ("flows", "blocks", "shim") for file in (ROOT / floor).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in ("httpx.Client", "httpx.AsyncClient") and path.name != "proxies.py":
                assert isinstance(node, ast.Call)
                if "transport" not in [word.arg for word in node.keywords]:
                    without.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not without
