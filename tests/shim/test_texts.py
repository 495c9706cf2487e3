"""Characters that cannot be stored."""

from typing import Any

import httpx
import pytest
from fastapi import Depends

from wildloop.flows.text.redaction import Redactor
from wildloop.flows.text.storable import unstorable
from wildloop.shim import errors
from wildloop.shim.openapi import Api
from wildloop.shim.texts import check_texts


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": ["x", {"b": "c\x00"}]}, "body.a.1.b"),
        ({"a\x00": 1}, "body"),
        (["\ud800"], "body.0"),
        ({"seed": 2**63}, "body.seed"),
        ({"a": [1e30]}, "body.a.0"),
        ({"a": -(10**400)}, "body.a"),
        ({"a": 2**63 - 1, "b": float("inf"), "c": 1e18, "d": True}, None),
        ({"a": "\U0001f600", "b": None, "c": 1.5, "d": ["\\u0000"]}, None),
    ],
)
def test_place_of_what_cannot_be_stored(value: Any, place: str | None) -> None:
    assert unstorable(value) == place


@pytest.mark.parametrize(
    ("url", "content", "status"),
    [
        ("/things/a", rb'{"a": "b"}', 200),
        ("/things/a", rb'{"a": "\ud83d\ude00 \\u0000"}', 200),
        ("/things/a", rb"", 200),
        ("/things/a", rb'{"a": "\u0000"}', 422),
        ("/things/a", rb'{"a": {"b": "\uD800"}}', 422),
        ("/things/a", b'{"a": 1000000000000000000000000000000}', 422),
        ("/things/a", b'{"a": 1e30, "b": "1e30"}', 422),
        ("/things/a", b'{"timeout_seconds": 1e400}', 422),
        ("/things/a", b'{"a": {"b": [NaN]}}', 422),
        ("/things/a", b'{"a": -Infinity}', 422),
        ("/things/a", b'{"a": "NaN and Infinity as words"}', 200),
        ("/things/a", b'{"a": 123456789012345678e5}', 422),
        ("/things/a", b'{"a": ' + b"[" * 101 + b"]" * 101 + b"}", 422),
        ("/things/a", b'{"a": [' + b"[], " * 200 + b"1]}", 200),
        ("/things/a", b"NaN " + b"[" * 100_000, 200),
        ("/things/metrics", b'{"loss": 1e30}', 200),
        ("/things/metrics", b'{"loss": NaN}', 200),
        ("/things/metrics", b"[" * 101 + b"]" * 101, 422),
        ("/things/%00", rb"", 422),
        ("/things/a?q=%00", rb"", 422),
        ("/things/a", rb"no json \u0000", 200),
    ],
)
async def test_it_is_refused_before_it_reaches_the_database(
    url: str, content: bytes, status: int
) -> None:
    app = Api(dependencies=[Depends(check_texts)])
    app.state.redactor = Redactor([])
    errors.install(app)

    async def answer() -> str:
        return "stored"

    app.add_api_route("/things/{id}", answer, methods=["POST"])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://s") as http:
        assert (await http.post(url, content=content)).status_code == status
