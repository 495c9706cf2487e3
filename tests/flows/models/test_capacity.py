"""Slots, capacity and admission: never too many, in order, nobody starves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wildloop.flows.models.capacity import (
    Capacity,
    Waiting,
    admit,
    capacity,
    order,
    slots,
)

WAITING = st.lists(
    st.builds(
        Waiting,
        id=st.uuids().map(str),
        gpus=st.integers(0, 6),
        priority=st.integers(-2, 2),
        queued_at=st.integers(0, 5).map(float),
        created_at=st.integers(0, 5).map(float),
    ),
    max_size=20,
    unique_by=lambda item: item.id,
)
ACTIVE = st.lists(st.integers(0, 4), max_size=6)
SLOTS = st.integers(1, 8)


@pytest.mark.parametrize(
    ("cluster_type", "gpu_count", "override", "g"),
    [
        ("local_gpu", 8, None, 8),
        ("local_gpu", 0, None, 1),
        ("local_gpu", None, None, 1),
        ("slurm", 16, None, 16),
        ("slurm", 0, None, 4),
        ("slurm", None, None, 4),
        ("kubernetes", 8, None, 8),
        ("kubernetes", None, None, 1),
        ("cpu_only", 0, None, 1),
        ("cpu_only", 3, None, 1),
        ("unknown", None, None, 1),
        ("something else", 5, None, 1),
        ("cpu_only", None, 6, 6),
        ("local_gpu", 8, 2, 2),
        ("slurm", 8, 0, 1),
        ("local_gpu", -3, None, 1),
    ],
)
def test_slots(cluster_type: str, gpu_count: int | None, override: int | None, g: int) -> None:
    assert slots(cluster_type, gpu_count, override) == g


@pytest.mark.parametrize(
    ("g", "active", "queued", "expected"),
    [
        (4, [1, 1], [1, 1, 1], Capacity(g=4, r=2, q=3, max_new_runs=2)),
        (4, [], [1], Capacity(g=4, r=0, q=1, max_new_runs=1)),
        (4, [2, 2], [1], Capacity(g=4, r=4, q=1, max_new_runs=0)),
        (1, [1, 1], [1], Capacity(g=1, r=2, q=1, max_new_runs=0)),
        (2, [0, 0, 1], [0, 0], Capacity(g=2, r=1, q=0, max_new_runs=0)),
    ],
)
def test_capacity(g: int, active: list[int], queued: list[int], expected: Capacity) -> None:
    assert capacity(g, active, queued) == expected


@given(g=SLOTS, active=ACTIVE, queued=st.lists(st.integers(0, 4)))
def test_max_new_runs_is_never_negative_nor_above_what_is_free_or_waits(
    g: int, active: list[int], queued: list[int]
) -> None:
    found = capacity(g, active, queued)
    assert 0 <= found.max_new_runs <= max(0, g - sum(active))
    assert found.max_new_runs <= len(queued)


def test_higher_priority_first_then_first_in_first_out() -> None:
    waiting = [
        Waiting(id="late", queued_at=2),
        Waiting(id="early", queued_at=1),
        Waiting(id="urgent", queued_at=9, priority=1),
        Waiting(id="same-b", queued_at=2, created_at=2),
        Waiting(id="low", priority=-1),
    ]
    assert admit(9, [], waiting) == ["urgent", "early", "late", "same-b", "low"]


def test_small_requests_do_not_overtake_a_large_one_at_the_head() -> None:
    waiting = [
        Waiting(id="large", gpus=4, queued_at=1),
        Waiting(id="small", gpus=1, queued_at=2),
        Waiting(id="none", gpus=0, queued_at=3),
    ]
    assert admit(4, [1], waiting) == ["none"]
    assert admit(4, [], waiting) == ["large", "none"]


def test_request_above_all_slots_blocks_nobody() -> None:
    waiting = [Waiting(id="huge", gpus=5, priority=9), Waiting(id="small")]
    assert admit(4, [], waiting) == ["small"]


def test_oversubscribed_slots_admit_nothing() -> None:
    assert admit(2, [2, 2], [Waiting(id="a"), Waiting(id="b", gpus=0)]) == ["b"]


def test_negative_request_is_refused() -> None:
    with pytest.raises(ValidationError, match="gpus"):
        Waiting(id="x", gpus=-1)


@given(g=SLOTS, active=ACTIVE, waiting=WAITING)
def test_slots_are_never_oversubscribed(g: int, active: list[int], waiting: list[Waiting]) -> None:
    sizes = {run.id: run.gpus for run in waiting}
    taken = sum(sizes[id] for id in admit(g, active, waiting))
    assert taken <= max(0, g - sum(active))


@given(g=SLOTS, active=ACTIVE, waiting=WAITING)
def test_nobody_with_slots_is_overtaken(g: int, active: list[int], waiting: list[Waiting]) -> None:
    needy = [run.id for run in order(waiting) if 0 < run.gpus <= g]
    chosen = [id for id in admit(g, active, waiting) if id in needy]
    assert chosen == needy[: len(chosen)]


@given(g=SLOTS, active=ACTIVE, waiting=WAITING)
def test_no_slot_idles_that_the_head_could_use(
    g: int, active: list[int], waiting: list[Waiting]
) -> None:
    chosen = admit(g, active, waiting)
    sizes = {run.id: run.gpus for run in waiting}
    left = g - sum(active) - sum(sizes[id] for id in chosen)
    rest = [run for run in order(waiting) if run.id not in chosen and 0 < run.gpus <= g]
    assert not rest or rest[0].gpus > left


@given(g=SLOTS, active=ACTIVE, waiting=WAITING, seed=st.randoms())
def test_the_order_of_listing_does_not_matter(
    g: int, active: list[int], waiting: list[Waiting], seed: object
) -> None:
    shuffled = list(waiting)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]
    assert admit(g, active, shuffled) == admit(g, active, waiting)


@given(g=SLOTS, waiting=WAITING)
def test_every_run_starts_in_the_end_unless_it_asks_for_more_than_there_is(
    g: int, waiting: list[Waiting]
) -> None:
    started: list[str] = []
    while batch := admit(g, [], [run for run in waiting if run.id not in started]):
        started += batch
    assert set(started) == {run.id for run in waiting if run.gpus <= g}
    assert len(started) == len(set(started))
