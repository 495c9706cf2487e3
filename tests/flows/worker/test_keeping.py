"""For whom slots are kept: after a bounded time, on one host, on the next after as long again."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from wildloop.flows.models.run import RunSpec
from wildloop.flows.worker import keeping
from wildloop.flows.worker.keeping import Keeping

HOSTS = ("one", "two", "three")


class Hosts:
    """Three hosts that have all passed a run at the same moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, serve: bool = True) -> None:
        offers = [SimpleNamespace(serves=lambda spec: serve)]
        records = [SimpleNamespace(host=host, offers=offers) for host in HOSTS]

        async def live(client: object) -> list[Any]:
            return records

        monkeypatch.setattr(keeping, "live_hosts", live)
        self.now = 100.0
        self.known = {host: Keeping(host, 60.0, lambda: self.now) for host in HOSTS}

    def passed(self, id: UUID) -> None:
        for one in self.known.values():
            one.look([str(id)], [])

    async def keepers(self, id: UUID, gpus: int = 4) -> list[str]:
        client: Any = None
        runs: Any = [SimpleNamespace(id=id)]
        spec = RunSpec(name="r", command="true", gpus=gpus)
        found = {
            host: await one.due(client, runs, lambda run: spec) for host, one in self.known.items()
        }
        return [host for host, ids in found.items() if id in ids]


async def test_hosts_keep_slots_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, id = Hosts(monkeypatch), uuid4()
    assert await hosts.keepers(id) == []
    hosts.passed(id)
    counts = []
    for seconds in (59.0, 1.0, 59.0, 1.0, 60.0):
        hosts.now += seconds
        hosts.passed(id)
        counts.append(len(await hosts.keepers(id)))
    assert counts == [0, 1, 1, 2, 3]
    hosts.known["one"].look([], [str(id)])
    assert "one" not in await hosts.keepers(id)


async def test_host_that_alone_can_serve_a_run_keeps_slots_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts, id = Hosts(monkeypatch, serve=False), uuid4()
    hosts.passed(id)
    hosts.now += 60
    assert await hosts.keepers(id) == list(HOSTS)


async def test_one_slot_is_kept_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, id = Hosts(monkeypatch), uuid4()
    hosts.passed(id)
    hosts.now += 600
    assert await hosts.keepers(id, gpus=1) == []


async def test_without_patience_all_keep_slots_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts, id = Hosts(monkeypatch), uuid4()
    hosts.known = {host: Keeping(host, 0.0) for host in HOSTS}
    assert await hosts.keepers(id) == list(HOSTS)
