"""A crowd of clients sees what must not be."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench import crowd as crowds
from bench.api import report
from bench.crowd import Crowd


class Api:
    """Runs in memory, ended at once; `deaf` to keys, `forgetful` or `twice` as a test needs."""

    def __init__(self, folder: Path, fault: str = "") -> None:
        self.folder, self.fault = folder, fault
        self.runs: list[dict[str, Any]] = []
        self.keys: dict[str, dict[str, Any]] = {}

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """One request."""
        await asyncio.sleep(0)
        if request.method == "POST":
            return httpx.Response(201, json=self.create(request))
        if request.url.path == "/runs":
            return httpx.Response(200, json=self.page(dict(request.url.params)))
        if self.fault == "down" and request.url.path.endswith("health"):
            return httpx.Response(500, json={"detail": "internal error"})
        return httpx.Response(200, json={})

    def create(self, request: httpx.Request) -> dict[str, Any]:
        """A run, or the one that has the key."""
        key, body = request.headers["Idempotency-Key"], json.loads(request.content)
        if key in self.keys and self.fault != "deaf":
            return self.keys[key]
        number = len(self.runs)
        run = {"id": f"id-{number}", "name": body["name"], "created_at": float(number)}
        self.keys[key] = run
        self.runs.append(run)
        found = re.search(r"'(.*)'", body["command"])
        assert found is not None
        Path(found[1]).write_text("run\n" * (2 if self.fault == "twice" else 1))
        return run

    def page(self, params: dict[str, str]) -> list[dict[str, Any]]:
        """The newest that are older than `before`."""
        if params.get("status") not in (None, "finished"):
            return []
        before = float(params.get("before", "inf"))
        if self.fault == "doubling":
            before += 1
        found = [run for run in reversed(self.runs) if run["created_at"] < before]
        if self.fault == "forgetful":
            found = found[1:]
        return found[: int(params["limit"])]


async def let_loose(
    monkeypatch: pytest.MonkeyPatch, folder: Path, fault: str = "", runs: int = 20
) -> Crowd:
    api = Api(folder, fault)
    made: Callable[..., httpx.AsyncClient] = httpx.AsyncClient

    def client(**options: Any) -> httpx.AsyncClient:
        return made(transport=httpx.MockTransport(api.answer), base_url=options["base_url"])

    monkeypatch.setattr(crowds, "PAGE", 7)
    monkeypatch.setattr(crowds.httpx, "AsyncClient", client)
    crowd = Crowd("http://api", {}, folder, runs=runs, creators=3, readers=2)
    await crowd.go()
    return crowd


async def test_nothing_is_wrong_with_a_good_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crowd = await let_loose(monkeypatch, tmp_path)
    assert crowd.faults == []
    assert (len(crowd.created), crowd.retried) == (20, 4)
    assert len(crowd.create_ms) >= 22 and crowd.read_ms
    text = report(crowd, 0.5)
    assert "20 runs by 3 clients, 4 requests sent twice, 2 readers" in text
    assert "0 faults" in text and "others kept 0.50 cores busy" in text


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("deaf", "has the ids"),
        ("twice", "ran 2 times"),
        ("forgetful", "runs have finished, 20 were asked for"),
        ("doubling", "listed twice"),
        ("down", "/wild/v2/system-health: 500"),
    ],
)
async def test_fault_of_a_server_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str, told: str
) -> None:
    crowd = await let_loose(monkeypatch, tmp_path, fault)
    assert any(told in one for one in crowd.faults), crowd.faults
    assert "- fault:" in report(crowd, None)
