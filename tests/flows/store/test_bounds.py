"""Which limit a queued run waits for."""

import pytest

from tests.support.records import made_run
from wildloop.flows.store.bounds import Bound, Bounds, reason_of

POOL = Bound(name="the work pool 'wildloop'", limit=3, taken=3)
QUEUE = Bound(name="the queue 'runs'", limit=1, taken=1, wanted=2)
TAG = Bound(name="'tag:gpu'", limit=2, taken=1)
LOWERED = Bound(name="'wildloop-gpu:a'", limit=1, taken=1, wanted=2)
SHARED = Bound(name="'wildloop-gpu:a'", limit=2, taken=2, wanted=2)
FREE = Bound(name="'wildloop-gpu:b'", limit=2, taken=0, wanted=2)


@pytest.mark.parametrize(
    ("bounds", "gpus", "held", "said"),
    [
        (Bounds(), 1, {}, None),
        (Bounds(whole=POOL, queues={"runs": QUEUE}), 1, {}, POOL),
        (Bounds(whole=POOL), 0, {}, POOL),
        (Bounds(queues={"runs": QUEUE}, tag=TAG), 1, {}, QUEUE),
        (Bounds(queues={"runs": QUEUE}, tag=TAG), 0, {}, None),
        (Bounds(tag=TAG), 1, {}, None),
        (Bounds(tag=TAG), 2, {}, TAG),
        (Bounds(hosts={"a": LOWERED}), 1, {"a": 1}, LOWERED),
        (Bounds(hosts={"a": LOWERED, "b": FREE}), 1, {"a": 1}, None),
        (Bounds(hosts={"a": SHARED}), 1, {"a": 1}, SHARED),
        # Wildloop's own runs hold all of it: that is no limit of anybody else's.
        (Bounds(hosts={"a": SHARED}), 1, {"a": 2}, None),
    ],
)
def test_it_is_told_by_its_name(
    bounds: Bounds, gpus: int, held: dict[str, int], said: Bound | None
) -> None:
    run = made_run(1, status="queued", gpus_requested=gpus)
    assert reason_of(run, bounds, held) == (said.text if said is not None else None)


def test_the_text_names_limit_and_what_is_taken() -> None:
    assert LOWERED.text == "waits for the limit of 'wildloop-gpu:a': 1 of 1 taken"


def test_lowered_limits_say_what_can_be_used() -> None:
    assert Bounds().usable(4) == 4
    assert Bounds(tag=TAG).usable(4) == 2
    assert Bounds(whole=POOL, hosts={"a": LOWERED, "b": FREE}).usable(4) == 3
    assert Bounds(whole=POOL, hosts={"a": LOWERED, "b": FREE}).lowered == [POOL, LOWERED]
