"""Which compute serves which run, and what is said where none does."""

import pytest

from wildloop.blocks.cluster.models import Cluster, ClusterDetails, ClusterType, Gpu
from wildloop.flows.models.capacity import Room, Waiting, place
from wildloop.flows.models.cluster import HostRecord, every_offer, total_cpus, total_slots
from wildloop.flows.models.compute import Asked, ComputeOffer, GpuKind, is_type, why_unserved
from wildloop.flows.models.queue import reasons
from wildloop.flows.models.run import Run, RunSpec, RunStatus

LOCAL = ComputeOffer(
    name="local",
    slots=4,
    largest=4,
    kinds=[
        GpuKind(type="NVIDIA A100-SXM4-80GB", count=2, memory_gb=80),
        GpuKind(type="Tesla T4", count=2, memory_gb=15),
    ],
)
LAB = ComputeOffer(
    name="lab", kind="slurm", slots=8, largest=8, kinds=[GpuKind(type="h100", count=8)]
)


@pytest.mark.parametrize(
    ("there", "wanted", "fits"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100", True),
        ("nvidia_a100_80gb_pcie", "a100-80gb", True),
        ("NVIDIA L40", "L4", False),
        ("NVIDIA GeForce RTX 4090", "rtx 4090", True),
        ("a100", "h100", False),
    ],
)
def test_type_is_its_words_in_the_name_of_a_gpu(there: str, wanted: str, fits: bool) -> None:
    assert is_type(there, wanted) is fits


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (Asked(1, compute="lab"), None),
        (Asked(2, gpu_type="A100"), None),
        (Asked(1, gpu_type="H100"), None),
        (Asked(0, compute="lab"), None),
        (Asked(1, compute="elsewhere"), "compute: no host that is online has 'elsewhere'"),
        (Asked(1, gpu_type="V100"), "gpu_type: there is no 'V100': there is 'lab' (8 h100); 'loc"),
        (Asked(1, compute="lab", gpu_type="T4"), "gpu_type: there is no 'T4' at compute 'lab'"),
        (Asked(3, gpu_type="A100"), "gpus: 3 are asked for, at most 2 such are in one place"),
        (Asked(1, gpu_type="T4", gpu_memory_gb=40), "gpu_memory_gb: no GPU of type 'T4'"),
        (Asked(1, compute="lab", gpu_memory_gb=40), "gpu_memory_gb: no GPU at compute 'lab'"),
        (Asked(9), "gpus: 9 are asked for, no host has more than 8"),
    ],
)
def test_what_cannot_be_served_is_told_by_its_field(asked: Asked, told: str | None) -> None:
    why = why_unserved([LOCAL, LAB], asked)
    assert (why is None) if told is None else (why is not None and why.startswith(told)), why


def test_nothing_is_refused_where_no_host_is_known() -> None:
    assert why_unserved([], Asked(1, compute="lab")) is None


@pytest.mark.parametrize("field", [{"gpu_type": "A100"}, {"gpu_memory_gb": 40}])
def test_run_without_a_gpu_has_no_type(field: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="gpus: 0"):
        RunSpec.model_validate({"name": "x", "command": "true", "gpus": 0, **field})


def waiting(id: str, gpus: int = 1, rooms: tuple[str, ...] | None = None, **more: int) -> Waiting:
    fields = {"id": id, "gpus": gpus, "rooms": rooms, "created_at": float(ord(id)), **more}
    return Waiting.model_validate(fields)


def test_runs_go_where_there_is_room_and_a_full_compute_holds_up_itself_alone() -> None:
    rooms = [Room(name="here", slots=2, free=1), Room(name="lab", slots=4, free=1, here=False)]
    runs = [
        waiting("a", 2, ("here",)),
        waiting("b", 1, ("here",)),
        waiting("c", 1, ("here", "lab")),
        waiting("d", 1, ("lab",)),
    ]
    assert place(rooms, runs) == {"c": "lab"}


def test_one_gpu_of_a_type_that_is_taken_lets_others_by() -> None:
    rooms = [Room(name="here", slots=4, free=2)]
    picky = waiting("a", 1, ("here",), left_alone=2)
    assert place(rooms, [picky, waiting("b")]) == {}
    assert place(rooms, [picky.model_copy(update={"lets_by": True}), waiting("b")]) == {"b": "here"}


def test_runs_without_a_gpu_fill_the_places_of_one_compute_after_the_other() -> None:
    rooms = [Room(name="here", slots=1, free=0, places=1), Room(name="lab", slots=1, free=0)]
    found = place(rooms, [waiting("a", 0), waiting("b", 0), waiting("c", 0, ("here",))])
    assert found == {"a": "here", "b": "lab"}


def record(host: str, *further: ComputeOffer) -> HostRecord:
    gpus = [Gpu(index=n, uuid=f"G{n}", name="T4", memory_total_mib=15360) for n in range(2)]
    cluster = Cluster(
        type=ClusterType.LOCAL_GPU,
        label="2 x T4",
        gpu_count=2,
        details=ClusterDetails(gpus=gpus),
        last_detected_at=0,
        host=host,
    )
    return HostRecord(host=host, cluster=cluster, cpus=4, further=list(further))


def test_a_cluster_that_two_hosts_submit_to_counts_once() -> None:
    lab = LAB.model_copy(update={"shared": "Slurm/lab", "places": 16})
    hosts = [record("a", lab), record("b", lab)]
    assert total_slots(hosts) == 2 + 2 + 8
    assert total_cpus(hosts) == 4 + 4 + 16
    assert [offer.name for offer in every_offer(hosts)] == ["local", "local", "lab"]
    assert hosts[0].own.kinds == [GpuKind(type="T4", count=2, memory_gb=15.0)]


def test_two_blocks_of_one_partition_count_its_gpus_once() -> None:
    lab = LAB.model_copy(update={"shared": "Slurm/lab", "pool": "gpu"})
    more = lab.model_copy(update={"name": "more", "shared": "Slurm/more"})
    assert total_slots([record("a", lab, more)]) == 2 + 8
    a100, h100 = (
        lab.model_copy(update={"name": t, "shared": f"Slurm/{t}", "pool_type": t, "slots": 4})
        for t in ("a100", "h100")
    )
    assert total_slots([record("a", a100, h100)]) == 2 + 4 + 4
    assert total_slots([record("a", lab, a100, h100)]) == 2 + 8
    other = more.model_copy(update={"pool": "short"})
    elsewhere = more.model_copy(update={"shared": "Other Slurm/more"})
    assert total_slots([record("a", lab, other)]) == 2 + 16
    assert total_slots([record("a", lab, elsewhere)]) == 2 + 16


def run(id: str, **fields: object) -> Run:
    made = Run(
        id=id,
        name=id,
        command="true",
        workdir="/p",
        run_dir="/p/x",
        status=RunStatus.QUEUED,
        created_at=float(ord(id[0])),
    )
    return made.model_copy(update=fields)


def test_waiting_run_says_which_compute_it_waits_for() -> None:
    from wildloop.flows.models.capacity import Capacity

    hosts = [record("a", LAB.model_copy(update={"slots": 1, "largest": 1}))]
    room = Capacity(g=3, r=1, q=3, max_new_runs=2)
    queue = [run("a", gpu_type="h100"), run("b", gpu_type="T4"), run("c", compute="gone")]
    told = reasons(queue, [run("x", compute="lab", host="n7")], room, hosts)
    assert told["a"] == "it wants 1 slot of 'lab', which are held by others"
    assert "about to start" in told["b"]
    assert told["c"].startswith("compute: no host that is online has 'gone'")
