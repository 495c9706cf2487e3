"""Why a queued run waits, in words."""

from wildloop.blocks.cluster.models import Cluster, ClusterType
from wildloop.flows.models.capacity import Capacity
from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.models.queue import in_turn, reasons
from wildloop.flows.models.run import Run, RunStatus


def run(id: str, gpus: int = 1, priority: int = 0, **fields: object) -> Run:
    made = Run(
        id=id,
        name=id,
        command="true",
        workdir="/project",
        run_dir="/project/x",
        status=RunStatus.QUEUED,
        priority=priority,
        gpus_requested=gpus,
        created_at=float(ord(id[0])),
    )
    return made.model_copy(update=fields)


def host(slots: int, cpus: int = 4) -> HostRecord:
    cluster = Cluster(type=ClusterType.CPU_ONLY, label="x", last_detected_at=0, host="h")
    return HostRecord(host="h", cluster=cluster, slots_override=slots, cpus=cpus)


def room(g: int, r: int) -> Capacity:
    return Capacity(g=g, r=r, q=1, max_new_runs=0)


def test_who_holds_the_slots_is_named() -> None:
    held = [run(name) for name in "vwxyz"]
    found = reasons([run("a")], held, room(5, 5), [host(5)])
    assert found["a"] == "all 5 slots are held by v, w, x and 2 more"
    assert reasons([run("a")], held[:1], room(1, 1), [host(1)])["a"] == "the one slot is held by v"


def test_a_large_run_is_not_overtaken_and_those_behind_it_say_so() -> None:
    found = reasons([run("b"), run("a", gpus=3)], [run("v")], room(4, 2), [host(4)])
    assert found["a"] == "it wants 3 slots, 2 of 4 are free"
    assert found["b"] == "1 run before it; the first wants 3 slots"


def test_what_no_host_has_holds_up_nobody() -> None:
    found = reasons([run("a", gpus=9), run("b")], [], room(4, 0), [host(4)])
    assert found["a"] == "no host has 9 slots: the most is 4"
    assert "about to start" in found["b"]


def test_runs_without_a_gpu_wait_for_places() -> None:
    held = [run(name, gpus=0) for name in "vwxy"]
    found = reasons([run("a", gpus=0)], held, room(1, 0), [host(1)])
    assert found["a"] == "all 4 places of runs without a GPU are taken"
    assert (
        reasons([run("a", gpus=0)], held[:1], room(1, 1), [host(1)])["a"] == "it is about to start"
    )


def test_a_reason_that_is_known_is_told_and_priority_goes_first() -> None:
    queue = [run("a"), run("b", priority=5), run("c", reason="the disk is full")]
    assert [one.id for one in in_turn(queue)] == ["b", "a", "c"]
    found = reasons(queue, [run("v")], room(1, 1), [host(1)])
    assert found["c"] == "the disk is full" and found["b"] == "the one slot is held by v"
    assert found["a"] == "1 run before it, and no slot is free"


def test_a_limit_is_told_before_turn_and_slots_but_not_where_no_host_has_so_many() -> None:
    queue = [run("a"), run("b", gpus=0), run("c", gpus=9)]
    found = reasons(queue, [run("v")], room(1, 1), [host(1)], lambda one: f"limit of {one.id}")
    assert (found["a"], found["b"]) == ("limit of a", "limit of b")
    assert found["c"] == "no host has 9 slots: the most is 1"


def test_reasons_of_some_are_those_that_they_have_among_all() -> None:
    queue = [
        run(name, gpus) for name, gpus in zip("abcdefgh", (1, 0, 2, 9, 1, 0, 1, 3), strict=True)
    ]
    queue[6] = queue[6].model_copy(update={"reason": "the disk is full"})
    queue[7] = queue[7].model_copy(update={"priority": 4})
    for held in range(5):
        given = (queue, [run("v")] * held, room(4, held), [host(4)])
        every = reasons(*given)
        for one in queue:
            assert reasons(*given, wanted={one.id})[one.id] == every[one.id]
