"""`/docs` opens without a token, and takes nothing from elsewhere."""

import re
from pathlib import Path

from pydantic import SecretStr
from starlette.testclient import TestClient

from wildloop.flows.settings import Settings
from wildloop.shim.app import create_app


def test_the_docs_are_served_whole_and_from_here_alone() -> None:
    settings = Settings(
        home=Path("/"),
        server_url="http://s",
        token=SecretStr("the-token-of-this"),
        workdir=Path("/"),
    )
    client = TestClient(create_app(settings))
    page = client.get("/docs")
    assert page.status_code == 200
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) == 3
    for source in sources:
        assert source.startswith("/docs/static/")
        assert client.get(source).status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy
    assert client.get("/docs/static/../../runs").status_code == 401
    assert client.get("/docs/redirect").status_code == 401
