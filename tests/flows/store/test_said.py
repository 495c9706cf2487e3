"""What the user has said: read once a moment, and never kept beyond it."""

import json
from uuid import UUID, uuid4

from prefect.client.schemas.objects import FlowRunInput

from wildloop.flows.store.said import Said

SESSION = str(uuid4())


class Server:
    """The edge: the inputs of one flow run."""

    def __init__(self) -> None:
        self.inputs: dict[str, str] = {}
        self.asked = 0

    def put(self, key: str, **value: object) -> None:
        """Store an input."""
        self.inputs[key] = json.dumps(value)

    async def filter_flow_run_input(
        self, flow_run_id: UUID, key_prefix: str, limit: int, exclude_keys: set[str]
    ) -> list[FlowRunInput]:
        """Those whose key begins so."""
        self.asked += 1
        return [
            FlowRunInput(flow_run_id=flow_run_id, key=key, value=value)
            for key, value in self.inputs.items()
            if key.startswith(key_prefix)
        ][:limit]

    async def delete_flow_run_input(self, flow_run_id: UUID, key: str) -> None:
        """Take one away."""
        del self.inputs[key]


def said(server: Server) -> Said:
    """What reads from it."""
    return Said(server)  # type: ignore[arg-type]


async def test_steers_and_changes_of_a_moment_are_read_at_once() -> None:
    server = Server()
    server.put("steer-2", text="then this", time=2.0)
    server.put("steer-1", text="first this", time=1.0)
    server.put("contract-1", change={"metric": "loss"}, time=3.0)
    server.put("keyset-of-prefect", text="not ours", time=0.0)
    reader = said(server)
    assert [text for _, text, _ in await reader.steers(SESSION)] == ["first this", "then this"]
    ((key, change, at),) = await reader.contract_changes(SESSION, 60.0)
    assert (key, change.metric, at) == ("contract-1", "loss", 3.0)
    assert server.asked == 1


async def test_who_asks_for_what_is_there_now_is_told_of_it() -> None:
    server, other = Server(), str(uuid4())
    reader = said(server)
    assert await reader.steers(SESSION) == []
    server.put("steer-1", text="now", time=1.0)
    assert await reader.steers(SESSION, 60.0) == []
    assert len(await reader.steers(other, 60.0)) == 1
    assert len(await reader.steers(SESSION)) == 1


async def test_what_was_taken_up_is_gone_at_once() -> None:
    server = Server()
    server.put("steer-1", text="now", time=1.0)
    reader = said(server)
    await reader.steers(SESSION)
    await reader.forget(SESSION, ["steer-1"])
    assert await reader.steers(SESSION, 60.0) == []
