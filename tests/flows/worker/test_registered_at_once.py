"""Blocks that several workers register at the same time."""

from typing import Any

import pytest
from prefect.exceptions import ObjectAlreadyExists

from wildloop.flows.worker import deployments


class Contended:
    """A block whose type, and then whose schema, another worker has made a moment before."""

    def __init__(self, conflicts: int) -> None:
        self.conflicts, self.asked = conflicts, 0

    async def register_type_and_schema(self) -> None:
        self.asked += 1
        if self.asked <= self.conflicts:
            raise ObjectAlreadyExists(http_exc=Exception())


@pytest.mark.parametrize("conflicts", [0, 1, 2, 3])
async def test_each_conflict_is_another_try(conflicts: int, monkeypatch: Any) -> None:
    block = Contended(conflicts)
    monkeypatch.setattr(deployments, "BLOCKS", (block,))
    await deployments.register_blocks()
    assert block.asked == conflicts + 1


async def test_what_stays_refused_is_told(monkeypatch: Any) -> None:
    monkeypatch.setattr(deployments, "BLOCKS", (Contended(100),))
    with pytest.raises(ObjectAlreadyExists):
        await deployments.register_blocks()
