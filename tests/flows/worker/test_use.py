"""The notes of how a host is used: means, the most, twelve hours of them."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from wildloop.blocks.cluster.contention import DeviceSample, Occupancy
from wildloop.flows.models.use import SAMPLES, UseRecord, UseSample
from wildloop.flows.worker import use
from wildloop.flows.worker.use import UseNotes

CLIENT: Any = None


class Kept:
    """What would be written to Prefect."""

    def __init__(self, *before: UseRecord) -> None:
        self.before, self.written = list(before), list[UseRecord]()

    async def read(self, _: object) -> list[UseRecord]:
        return self.before

    async def write(self, _: object, record: UseRecord, version: UUID | None) -> UUID:
        self.written.append(record.model_copy(deep=True))
        return version or uuid4()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    made = Kept(
        UseRecord(host="other", every_seconds=1, samples=[UseSample(at=1)]),
        UseRecord(host="mine", every_seconds=1, samples=[UseSample(at=n) for n in range(SAMPLES)]),
    )
    monkeypatch.setattr(use, "read_uses", made.read)
    monkeypatch.setattr(use, "write_use", made.write)
    return made


def seen(memory: float, used: int | None) -> Occupancy:
    sample = DeviceSample(
        device="0", uuid="u", utilisation=used, memory_used_mib=memory, memory_total_mib=80.0
    )
    return Occupancy(taken_at=0, samples=(sample,), load=0)


async def test_the_first_look_is_written_and_what_was_noted_before_goes_on(kept: Kept) -> None:
    await UseNotes("mine").note(CLIENT, None)
    (record,) = kept.written
    assert len(record.samples) == SAMPLES and record.samples[0].at == 1
    assert record.memory_total is not None and record.samples[-1].memory is not None


async def test_a_sample_is_the_mean_use_and_the_most_memory_of_its_looks(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(use.time, "time", lambda: now[0])
    notes = UseNotes("new", every_seconds=100)
    await notes.note(CLIENT, seen(10, 50))
    for memory, used in ((30, 100), (20, None), (5, 0)):
        now[0] += 40
        await notes.note(CLIENT, seen(memory, used))
    first, second = kept.written
    assert [one.at for one in second.samples] == [1000, 1120]
    assert first.samples[0].devices == {"0": (10, 50)}
    assert second.samples[1].devices == {"0": (30, 50)}
    assert second.device_totals == {"0": 80}
    assert 0 <= (second.samples[1].cpu or 0) <= 100
