"""A test message that goes the whole way: an event, the channel's automation, its block."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from prefect.client.orchestration import PrefectClient

from wildloop.flows.errors import Unavailable
from wildloop.flows.news.channels import TEST_EVENT, channel_resource, tester
from wildloop.flows.text.redaction import redact

DONE = "prefect.automation.action.executed"
FAILED = "prefect.automation.action.failed"
LOOK_SECONDS = 0.5


async def try_channel(client: PrefectClient, name: str, seconds: float = 60.0) -> None:
    """Have the Prefect server send a test message; return once it has.

    Raises:
        NotFound: there is no such channel.
        Unavailable: it was not sent, and why.
    """
    automation = await tester(client, name)
    began = datetime.now(UTC)
    event = {
        "id": str(uuid4()),
        "occurred": began.isoformat(),
        "event": TEST_EVENT,
        "resource": {"prefect.resource.id": channel_resource(name)},
        "payload": {
            "title": "Wildloop: a test",
            "text": f"Channel '{name}' works: what you have asked to be told of comes here.",
        },
    }
    await client.request("POST", cast(Any, "/events"), json=[event])
    wanted = {
        "occurred": {"since": began.isoformat()},
        "event": {"name": [DONE, FAILED]},
        "resource": {"id": [f"prefect.automation.{automation.id}"]},
    }
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = await client.request("POST", cast(Any, "/events/filter"), json={"filter": wanted})
        for found in answer.json()["events"]:
            if found["event"] == FAILED:
                raise Unavailable(f"channel '{name}': {_why(found['payload'])}")
            return
        await asyncio.sleep(LOOK_SECONDS)
    raise Unavailable(
        f"channel '{name}': the Prefect server has not sent the test within {seconds:.0f} s: see "
        "its log, and whether its automations run (PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED)"
    )


def _why(payload: dict[str, Any]) -> str:
    lines = str(payload.get("notification_log") or payload.get("reason") or "").strip().splitlines()
    return redact(lines[-1]) if lines else "the service has not taken it"
