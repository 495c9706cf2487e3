"""What people are told of a session, as Prefect's events have it."""

from typing import Any

from tests.support.server import Server


def people_told(server: Server, session_id: str, *names: str) -> dict[str, dict[str, Any]]:
    """The payloads of the session's events by their names, once these are there, each once."""
    wanted = {
        "event": {"name": [f"wildloop.session.{name}" for name in names]},
        "related": {"id": [f"prefect.flow-run.{session_id}"]},
    }

    def look() -> dict[str, dict[str, Any]] | None:
        answer = server.prefect.post("/events/filter", json={"filter": wanted, "limit": 50})
        found = answer.raise_for_status().json()["events"]
        by_name = {one["event"].rpartition(".")[2]: one["payload"] for one in found}
        assert len(by_name) == len(found), [one["event"] for one in found]
        return by_name if set(by_name) == set(names) else None

    return server.wait_for(look, f"people are told: {', '.join(names)}")
