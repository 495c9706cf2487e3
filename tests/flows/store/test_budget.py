"""Budgets are kept by the stores: no run is created or started past them, whoever asks."""

import ast
import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Running

from wildloop.flows.errors import BudgetSpent
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.models.spending import Closing
from wildloop.flows.store.base import LOOP_TAG
from wildloop.flows.store.budget import ASK_AGAIN_SECONDS, BudgetGate

ROOT = Path(__file__).parents[3]
CHAT = "chat-1"


class Server:
    """The edge: one session, the runs that it has, and whoever asks how often."""

    def __init__(self, budget: dict[str, Any], state: State[Any] | None = None) -> None:
        self.id = uuid4()
        self.session = SimpleNamespace(
            id=self.id,
            tags=[LOOP_TAG, f"chat:{CHAT}"],
            parameters={"budget": budget, "chat_session_id": CHAT},
            state=state or Running(),
        )
        self.record = SessionRecord(session_id=str(self.id))
        self.runs: list[str | None] = []
        self.asked = 0

    async def read_flow_run(self, id: UUID) -> SimpleNamespace:
        """The session, by its own id."""
        self.asked += 1
        if id != self.id:
            raise ObjectNotFound(Exception("no such flow run"))
        return self.session

    async def read_flow_runs(self, flow_run_filter: FlowRunFilter, **_: Any) -> list[Any]:
        """The session, by the id of another front end."""
        self.asked += 1
        tags = flow_run_filter.tags
        wanted = set((tags.all_ if tags else None) or ())
        return [self.session] if wanted <= set(self.session.tags) else []

    async def count_flow_runs(self, flow_run_filter: FlowRunFilter) -> int:
        """Its runs, or those under some keys."""
        await asyncio.sleep(0)
        if flow_run_filter.idempotency_key is not None:
            return len({*(flow_run_filter.idempotency_key.any_ or ())} & {*self.runs})
        return len(self.runs)

    async def read_latest_artifacts(self, **_: Any) -> list[Any]:
        """Its position."""
        text = f"log\n<!-- wildloop {self.record.model_dump_json()} -->"
        return [SimpleNamespace(key=f"iteration-log-{self.id}", data=text)]

    async def create(self, gate: BudgetGate, key: str | None, session: str | None = None) -> None:
        """What a store does: nothing but through the gate."""
        async with gate.room(self, {session or str(self.id): [key]}):  # type: ignore[arg-type]
            await asyncio.sleep(0)
            if key is None or key not in self.runs:
                self.runs.append(key)


async def refused(server: Server, *keys: str | None, gate: BudgetGate | None = None) -> str:
    """What is answered to the creation of these runs; empty if they may be created."""
    try:
        async with (gate or BudgetGate()).room(server, {str(server.id): keys}):  # type: ignore[arg-type]
            return ""
    except BudgetSpent as error:
        return str(error)


async def test_no_number_at_once_passes_the_bound() -> None:
    server, gate = Server({"runs": 3}), BudgetGate()
    made = await asyncio.gather(
        *(server.create(gate, f"k{n}") for n in range(8)), return_exceptions=True
    )
    assert len(server.runs) == 3
    assert [type(one) for one in made if one is not None] == [BudgetSpent] * 5


async def test_both_ids_of_a_session_stand_in_one_line() -> None:
    server, gate = Server({"runs": 1}), BudgetGate()
    await asyncio.gather(
        server.create(gate, None), server.create(gate, None, CHAT), return_exceptions=True
    )
    assert len(server.runs) == 1


async def test_many_are_created_whole_or_not_at_all() -> None:
    server = Server({"runs": 3})
    assert "at most 3 may be created" in await refused(server, *"abcd")
    assert await refused(server, *"abc") == ""


async def test_what_was_created_before_is_not_counted_again() -> None:
    server = Server({"runs": 3})
    server.runs = ["a", "b"]
    assert await refused(server, *"abc") == ""
    server.runs += ["x"]
    assert "3 of 3 are used" in await refused(server, *"abc")
    assert await refused(server, *"ab") == "", "repeated, it creates nothing"


async def test_a_used_bound_of_runs_keeps_none_from_being_started() -> None:
    server = Server({"runs": 1})
    server.runs = ["a"]
    assert await refused(server) == ""
    assert "may create no more runs" in await refused(server, None)


async def test_a_used_bound_of_cost_keeps_all_from_being_started() -> None:
    server = Server({"cost_usd": 1})
    call = IterationRecord(index=1, kind="iteration", started_at=1, cost_usd=2)
    server.record.iterations.append(call)
    assert "budget.cost_usd: 2 of 1 are used" in await refused(server)


async def test_a_session_that_closes_starts_nothing_more() -> None:
    server = Server({"runs": 9})
    server.record.closing = Closing(name="hours", reason="budget: hours", at=0.0)
    assert "comes to its end" in await refused(server)


async def test_after_its_end_its_user_may_go_on() -> None:
    server = Server({"runs": 1}, Completed())
    server.runs = ["a"]
    assert await refused(server, None) == ""


@pytest.mark.parametrize("budget", [{}, {"runs": "many"}])
async def test_without_a_bound_nothing_is_asked_twice(budget: dict[str, Any]) -> None:
    server, gate = Server(budget), BudgetGate()
    assert [await refused(server, None, gate=gate) for _ in range(3)] == ["", "", ""]
    assert server.asked == 1


async def test_a_session_that_begins_later_is_seen() -> None:
    now = 0.0
    gate, server = BudgetGate(clock=lambda: now), Server({"runs": 1})
    server.session.tags = [LOOP_TAG]
    await server.create(gate, None, CHAT)
    server.session.tags.append(f"chat:{CHAT}")
    now += ASK_AGAIN_SECONDS
    with pytest.raises(BudgetSpent):
        await server.create(gate, None, CHAT)


async def test_what_belongs_to_no_session_passes() -> None:
    server = Server({"runs": 1})
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(BudgetGate().room(server, {None: [None]}))  # type: ignore[arg-type]
    assert server.asked == 0


PRIMITIVES = {
    "create_flow_run",
    "create_flow_runs",
    "create_flow_run_from_deployment",
    "resume_flow_run",
    "_resume",
}
"""The calls that bring a flow run about, ours and Prefect's."""
# What the gate stands before, and what creates and resumes sessions.
BENEATH = {
    # Steps of a session: subflows, never runs.
    ("flows/prefect_inside/steps.py", "create_flow_run"),
    ("flows/store/base.py", "Store"),
    # Its own method has a primitive's name: who calls it stands behind the gate.
    ("flows/store/burst.py", "Burst"),
    # What runs hang on to in the graph: it is never carried out.
    ("flows/store/graph.py", "make_anchor"),
    ("flows/store/runs.py", "_resume"),
    ("flows/store/runs.py", "create_flow_run"),
    ("flows/store/sessions.py", "SessionStore"),
}


def test_no_code_creates_or_starts_a_run_outside_the_gate() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for floor in ("shim", "flows", "blocks")
        for path in sorted((ROOT / floor).rglob("*.py"))
        for line in _unguarded(ast.parse(path.read_text()), str(path.relative_to(ROOT)))
    ]
    assert found == []


def _unguarded(tree: ast.AST, path: str) -> Iterator[int]:
    """Lines that call one of the primitives with no `async with ...gate.room(...)` around."""
    if (path, getattr(tree, "name", "")) in BENEATH:
        return
    if isinstance(tree, ast.AsyncWith) and any(
        ast.unparse(item.context_expr).startswith("self.gate.room(") for item in tree.items
    ):
        return
    if isinstance(tree, ast.Call) and getattr(tree.func, "attr", "") in PRIMITIVES:
        yield tree.lineno
    for child in ast.iter_child_nodes(tree):
        yield from _unguarded(child, path)
