"""Many clients at once, by HTTP, on a real server: nothing lost, nothing doubled."""

import asyncio
from pathlib import Path

import pytest

from bench.crowd import Crowd
from tests.support.server import Server

pytestmark = pytest.mark.e2e


def test_runs_of_many_clients_that_retry_are_made_and_run_once(
    server: Server, tmp_path: Path
) -> None:
    crowd = Crowd(
        base_url=server.url,
        headers={"X-Auth-Token": server.token},
        folder=tmp_path / "marks",
        runs=30,
        creators=4,
        readers=4,
    )
    asyncio.run(crowd.go())
    assert crowd.faults == []
    assert crowd.retried == 6


def test_walk_by_time_is_not_shifted_by_new_runs(server: Server) -> None:
    session = "a walk"
    body = {"name": "walk", "command": "true", "chat_session_id": session}
    made = [server.post("/runs", body)["id"] for _ in range(5)]
    first = server.get("/runs", chat_session_id=session, limit=2)
    late = server.post("/runs", body)["id"]
    rest = server.get("/runs", chat_session_id=session, before=first[-1]["created_at"])
    assert [run["id"] for run in first + rest] == list(reversed(made))
    assert server.get("/runs", chat_session_id=session, limit=1)[0]["id"] == late
