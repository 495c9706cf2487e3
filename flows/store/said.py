"""What the user has said to a session, kept as inputs of its flow run until it is taken up."""

import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRunInput

from wildloop.flows.models.contract import ContractChange

STEER_KEY = "steer-"
CONTRACT_KEY = "contract-"
MOST = 200
JUST_NOW_SECONDS = 0.5
"""What was read so long ago is the same moment to a prompt: the next one tells what came after."""

Told = tuple[str, str, float]
Changed = tuple[str, ContractChange, float]


class Said:
    """Reads steers and changes of the contract by one request, and keeps its answer for a moment.

    Args:
        client: the Prefect client.
    """

    def __init__(self, client: PrefectClient) -> None:
        self.client = client
        self._read: tuple[str, float, Sequence[FlowRunInput]] | None = None

    async def steers(self, session_id: str, max_age_s: float = 0.0) -> list[Told]:
        """What the agent has not been told yet, as it was at most `max_age_s` ago, oldest first."""
        told = await self._told(session_id, STEER_KEY, max_age_s)
        return [(key, str(value["text"]), float(value["time"])) for key, value in told]

    async def contract_changes(self, session_id: str, max_age_s: float = 0.0) -> list[Changed]:
        """As `steers`: what the user has changed and the session has not taken up."""
        told = await self._told(session_id, CONTRACT_KEY, max_age_s)
        return [
            (key, ContractChange.model_validate(value["change"]), float(value["time"]))
            for key, value in told
        ]

    async def forget(self, session_id: str, keys: Sequence[str]) -> None:
        """Take away what was taken up."""
        self._read = None
        for key in keys:
            await self.client.delete_flow_run_input(UUID(session_id), key)

    async def _told(self, session_id: str, prefix: str, max_age_s: float) -> list[tuple[str, Any]]:
        found = await self._inputs(session_id, max_age_s)
        told = {one.key: json.loads(one.value) for one in found if one.key.startswith(prefix)}
        return sorted(told.items(), key=lambda one: one[0])

    async def _inputs(self, session_id: str, max_age_s: float) -> Sequence[FlowRunInput]:
        now = time.monotonic()
        if self._read is not None:
            of, at, found = self._read
            if of == session_id and now - at < max_age_s:
                return found
        found = await self.client.filter_flow_run_input(
            UUID(session_id), key_prefix="", limit=MOST, exclude_keys=set()
        )
        self._read = (session_id, now, found)
        return found
