"""Schedules of deployments, by Prefect's API as its UI uses it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import httpx

from tests.support.server import wait_for

EVERY_MINUTE = {"cron": "* * * * *", "timezone": "UTC"}
STARTED = ("RUNNING", "COMPLETED", "FAILED", "CANCELLING", "CANCELLED", "CRASHED")


def asked(
    prefect: httpx.Client, method: str, path: str, body: dict[str, Any] | list[Any] | None = None
) -> httpx.Response:
    """A request with success; a server on SQLite answers 503 while another one writes."""

    def answered() -> httpx.Response | None:
        answer = prefect.request(method, path, json=body)
        return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

    return wait_for(answered, f"{method} {path} is answered").raise_for_status()


@contextmanager
def scheduled(prefect: httpx.Client, deployment: str, parameters: dict[str, Any]) -> Iterator[str]:
    """Switch on a schedule whose time comes within a minute; yields the deployment's id.

    It is taken away at the end, with the flow runs that are not due yet.
    """
    found = asked(prefect, "GET", f"/deployments/name/{deployment}").json()
    path = f"/deployments/{found['id']}"
    asked(prefect, "PATCH", path, {"parameters": found["parameters"] | parameters})
    body = [{"schedule": EVERY_MINUTE, "active": True}]
    made = asked(prefect, "POST", f"{path}/schedules", body).json()
    try:
        yield found["id"]
    finally:
        asked(prefect, "DELETE", f"{path}/schedules/{made[0]['id']}")
        asked(prefect, "PATCH", path, {"parameters": found["parameters"]})


def fired(prefect: httpx.Client, deployment_id: str) -> dict[str, Any]:
    """The first flow run that the schedule has started.

    Three waits, each for one step: the server makes the coming flow runs, the minute passes, and
    the worker takes the one that is due.
    """

    def runs() -> list[dict[str, Any]]:
        body = {
            "deployments": {"id": {"any_": [deployment_id]}},
            "flow_runs": {"tags": {"all_": ["auto-scheduled"]}},
            "sort": "EXPECTED_START_TIME_ASC",
            "limit": 1,
        }
        return list(asked(prefect, "POST", "/flow_runs/filter", body).json())

    first = wait_for(runs, "the scheduler makes the coming flow runs")[0]
    due = datetime.fromisoformat(first["expected_start_time"])

    def now() -> dict[str, Any]:
        return dict(asked(prefect, "GET", f"/flow_runs/{first['id']}").json())

    wait_for(lambda: datetime.now(due.tzinfo) >= due, "its minute comes", 75)
    return wait_for(
        lambda: found if (found := now())["state_type"] in STARTED else None,
        "what is due is started within a minute",
        60,
    )


def send_digest(prefect: httpx.Client, parameters: dict[str, Any]) -> dict[str, Any]:
    """Have the deployment `digest/morning` run now; its flow run, once it has ended."""
    found = asked(prefect, "GET", "/deployments/name/digest/morning").json()
    body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    made = asked(prefect, "POST", f"/deployments/{found['id']}/create_flow_run", body).json()

    def ended() -> dict[str, Any] | None:
        run = dict(asked(prefect, "GET", f"/flow_runs/{made['id']}").json())
        return run if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED") else None

    return wait_for(ended, "the digest is sent")
