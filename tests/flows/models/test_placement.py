"""Who goes next and who is waited for: turns of owners, slots kept for large runs, backfill."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from wildloop.flows.models.capacity import Room, Turns, Waiting, plan


def run(id: str, gpus: int = 1, **fields: object) -> Waiting:
    made = {"id": id, "gpus": gpus, "created_at": float(ord(id[-1])), "lets_by": True}
    return Waiting.model_validate(made | fields)


def test_large_run_that_lets_others_by_is_passed_and_the_rest_is_filled() -> None:
    found = plan([Room(slots=4, free=3)], [run("a", 4), run("b"), run("c", 3), run("d", 2)])
    assert (list(found.chosen), found.passed, found.is_open) == (["b", "d"], ("a", "c"), False)


def test_what_is_free_is_kept_for_one_that_waited_long_enough() -> None:
    found = plan([Room(slots=4, free=3)], [run("a", 4, lets_by=False), run("b", lasts=1.0)])
    assert (found.chosen, found.passed, found.is_open) == ({}, ("a", "b"), False)


def test_what_ends_before_the_kept_slots_are_complete_goes_meanwhile() -> None:
    room = Room(slots=4, free=2, ends=((60.0, 1), (90.0, 1)))
    large = run("a", 4, lets_by=False)
    later = [run("b"), run("c", lasts=91.0), run("d", lasts=90.0), run("e", lasts=30.0)]
    assert list(plan([room], [large, *later]).chosen) == ["d", "e"]


def test_slots_that_the_large_run_does_not_need_are_free_for_all() -> None:
    room = Room(slots=8, free=2, ends=((60.0, 3),))
    found = plan([room], [run("a", 4, lets_by=False), run("b"), run("c")])
    assert list(found.chosen) == ["b"]


def test_slots_are_kept_in_one_room_alone() -> None:
    rooms = [Room(name="x", slots=4, free=1), Room(name="y", slots=4, free=3)]
    found = plan(rooms, [run("a", 4, lets_by=False), run("b"), run("c")])
    assert found.chosen == {"b": "x"}


def test_owners_take_turns_and_keep_their_own_order() -> None:
    flood = [run(f"a{letter}", owner="a") for letter in "abcdef"]
    late = [run(f"b{letter}", owner="b") for letter in "xyz"]
    assert list(plan([Room(slots=4, free=4)], [*flood, *late]).chosen) == ["aa", "bx", "ab", "by"]


def test_owner_that_holds_the_fewest_is_next_then_the_one_that_waits_the_longest() -> None:
    waiting = [run("aa", owner="a"), run("bb", owner="b")]
    room = [Room(slots=4, free=1)]
    assert list(plan(room, waiting, Turns(held={"a": 2, "b": 1})).chosen) == ["bb"]
    assert list(plan(room, waiting, Turns(last={"a": 2, "b": 1})).chosen) == ["bb"]


def test_priority_goes_before_turns() -> None:
    waiting = [run("aa", owner="a", priority=1), run("bb", owner="b")]
    assert list(plan([Room(slots=4, free=1)], waiting, Turns(held={"a": 3})).chosen) == ["aa"]


def test_large_run_of_one_owner_does_not_cost_its_small_ones_their_turn() -> None:
    waiting = [run("aa", 4, owner="a"), run("ab", owner="a"), run("bc", owner="b")]
    assert list(plan([Room(slots=4, free=1)], waiting).chosen) == ["ab"]


WAITING = st.lists(
    st.builds(
        Waiting,
        id=st.uuids().map(str),
        gpus=st.integers(0, 4),
        owner=st.sampled_from("abc"),
        lets_by=st.booleans(),
        lasts=st.none() | st.integers(1, 9).map(float),
        created_at=st.integers(0, 5).map(float),
    ),
    max_size=20,
    unique_by=lambda item: item.id,
)
ENDS = st.lists(st.tuples(st.integers(1, 9).map(float), st.integers(1, 3)), max_size=3)


@given(free=st.integers(0, 6), ends=ENDS, waiting=WAITING)
def test_never_too_many_and_no_slot_idles_that_one_could_use(
    free: int, ends: list[tuple[float, int]], waiting: list[Waiting]
) -> None:
    room = Room(slots=free + sum(slots for _, slots in ends), free=free, ends=tuple(ends))
    found = plan([room], waiting)
    sizes = {one.id: one.gpus for one in waiting}
    left = free - sum(sizes[id] for id in found.chosen)
    assert left >= 0
    if all(one.lets_by for one in waiting):
        rest = [one for one in waiting if one.id not in found.chosen and 0 < one.gpus <= room.slots]
        assert all(one.gpus > left for one in rest)


@given(free=st.integers(0, 6), ends=ENDS, waiting=WAITING)
def test_run_that_slots_are_kept_for_is_delayed_by_nobody(
    free: int, ends: list[tuple[float, int]], waiting: list[Waiting]
) -> None:
    slots = free + sum(count for _, count in ends)
    large = Waiting(id="large", gpus=slots, priority=1)
    found = plan([Room(slots=slots, free=free, ends=tuple(ends))], [large, *waiting])
    if "large" not in found.chosen and slots:
        by_id = {one.id: one for one in waiting}
        whole = max(seconds for seconds, _ in ends)
        begun = [by_id[id] for id in found.chosen if by_id[id].gpus]
        assert all(one.lasts is not None and one.lasts <= whole for one in begun)


@given(slots=st.integers(2, 6))
def test_flood_of_one_owner_leaves_the_other_its_half(slots: int) -> None:
    held = Counter[str]()
    last: dict[str, int] = {}
    waiting = [Waiting(id=f"a{n}", owner="a") for n in range(60)]
    waiting += [Waiting(id=f"b{n}", owner="b", created_at=1e6) for n in range(60)]
    for turn in range(1, slots + 1):
        room = Room(slots=slots, free=slots - held.total())
        first = next(iter(plan([room], waiting, Turns(held=dict(held), last=last)).chosen))
        waiting = [one for one in waiting if one.id != first]
        held[first[0]] += 1
        last[first[0]] = turn
    assert abs(held["a"] - held["b"]) <= 1
