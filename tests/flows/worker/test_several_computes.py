"""A worker with several computes: which run gets which, and what is taken of each."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from wildloop.blocks.cluster.models import Cluster, ClusterDetails, ClusterType, Gpu
from wildloop.blocks.launchers.slurm_compute import SlurmCompute
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.files.reservation import write_reservation
from wildloop.flows.models.cluster import HostRecord
from wildloop.flows.models.compute import ComputeOffer, GpuKind
from wildloop.flows.models.run import RunSpec
from wildloop.flows.store.run_mapping import EXPERIMENT_TAG
from wildloop.flows.worker import admission, computes, host
from wildloop.flows.worker.host import HostCompute

LAB = ComputeOffer(
    name="lab",
    kind="slurm",
    slots=4,
    largest=4,
    places=2,
    kinds=[GpuKind(type="h100", count=4)],
)


def record(*further: ComputeOffer) -> HostRecord:
    names = ["NVIDIA A100-SXM4-80GB"] * 2 + ["Tesla T4"] * 2
    gpus = [
        Gpu(index=n, uuid=f"G{n}", name=name, memory_total_mib=16384 * (5 if n < 2 else 1))
        for n, name in enumerate(names)
    ]
    cluster = Cluster(
        type=ClusterType.LOCAL_GPU,
        label="mixed",
        gpu_count=4,
        details=ClusterDetails(gpus=gpus),
        last_detected_at=0.0,
        host="here",
    )
    return HostRecord(host="here", cluster=cluster, cpus=1, further=list(further))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> HostCompute:
    async def nobody(_: HostCompute) -> None:
        return None

    monkeypatch.setattr(host.HostCompute, "occupancy", nobody)
    return HostCompute(record(LAB))


def queued(place: Path, number: int = 0, **spec: Any) -> Any:
    due = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
    return SimpleNamespace(
        id=uuid4(),
        tags=[EXPERIMENT_TAG],
        created=due,
        parameters={"spec": {"name": "r", "command": "true", "workdir": str(place), **spec}},
        state=SimpleNamespace(state_details=SimpleNamespace(scheduled_time=due)),
    )


async def chosen(
    here: HostCompute,
    offered: list[Any],
    held: Mapping[UUID, int] | None = None,
    others: list[Any] | None = None,
    bound: int | None = None,
) -> list[tuple[int, str]]:
    """Which of the offered, then of the other queued runs were chosen, and for which compute."""
    every = [*offered, *(others or [])]

    async def read(offset: int = 0, limit: int = 0, **query: Any) -> list[Any]:
        wants_priority = len(query["flow_run_filter"].tags.all_) > 1
        return [] if wants_priority else every[offset : offset + limit]

    client: Any = SimpleNamespace(read_flow_runs=read)
    found = await admission.choose(client, here, held or {}, offered, bound=bound)
    return [(every.index(one.flow_run), one.room) for one in found]


async def test_each_run_has_a_compute_that_serves_it(here: HostCompute, tmp_path: Path) -> None:
    wishes: list[dict[str, Any]] = [
        {"gpu_type": "H100"},
        {"gpu_type": "A100", "gpus": 2},
        {"compute": "lab", "gpus": 2},
        {"gpu_memory_gb": 40},
        {"compute": "local"},
        {},
        {"slurm": {"partition": "x"}},
    ]
    runs = [queued(tmp_path, number, **wish) for number, wish in enumerate(wishes)]
    got = await chosen(here, runs)
    # The fourth waits for an A100, and lets those by that take what is left.
    places = ["lab", "local", "lab", "local", "local", "lab"]
    assert got == list(zip([0, 1, 2, 4, 5, 6], places, strict=True))
    grants = {
        number: here.grant(str(runs[number].id), RunSpec(**runs[number].parameters["spec"]), room)
        for number, room in got[:2]
    }
    assert (grants[0] is not None) and grants[0].visible is None
    assert grants[1] is not None and grants[1].devices == ("0", "1")
    assert here.own_type(str(runs[0].id), RunSpec(name="r", command="x", gpu_type="H100")) == "h100"
    # The other A100 are held: of these two devices none is of that type.
    picky = RunSpec(name="r", command="true", gpu_type="A100")
    assert here.grant("late", picky, "local") is None and here.room_of("late") == "local"


async def test_slots_are_counted_for_each_compute(here: HostCompute, tmp_path: Path) -> None:
    at_lab = queued(tmp_path, compute="lab", gpus=3)
    spec = RunSpec(**at_lab.parameters["spec"])
    assert here.grant(str(at_lab.id), spec, "lab") is not None
    held = {at_lab.id: 3}
    runs = [queued(tmp_path, n, **wish) for n, wish in enumerate([{"compute": "lab"}] * 2 + [{}])]
    assert await chosen(here, runs, held) == [(0, "lab"), (2, "local")]
    assert await chosen(here, runs, held, bound=0) == [(0, "lab")]
    here.release(str(at_lab.id), is_over=False)
    assert here.room_of(str(at_lab.id)) == "lab"
    here.release(str(at_lab.id))
    assert here.room_of(str(at_lab.id)) == "local"


async def test_runs_without_a_gpu_are_bounded_by_each_compute(
    here: HostCompute, tmp_path: Path
) -> None:
    runs = [queued(tmp_path, number, gpus=0) for number in range(4)]
    assert await chosen(here, runs) == [(0, "local"), (1, "lab"), (2, "lab")]


async def test_behind_those_that_wait_for_a_full_compute_others_are_found(
    here: HostCompute, tmp_path: Path
) -> None:
    holding = queued(tmp_path, compute="lab", gpus=4)
    here.grant(str(holding.id), RunSpec(**holding.parameters["spec"]), "lab")
    offered = [queued(tmp_path, number, compute="lab") for number in range(3)]
    behind = [queued(tmp_path, 10 + n, compute="lab" if n < 300 else "local") for n in range(302)]
    got = await chosen(here, offered, {holding.id: 4}, behind)
    assert got == [(303, "local"), (304, "local")]


async def test_run_that_was_left_is_in_its_compute_again(here: HostCompute, tmp_path: Path) -> None:
    left = queued(tmp_path, compute="lab", gpus=2)
    paths = RunPaths.of(tmp_path, str(left.id))
    paths.root.mkdir(parents=True)
    write_reservation(paths, None, "lab")
    here.reserve([left], [])
    assert here.room_of(str(left.id)) == "lab"
    here.reserve([], [])
    assert here.room_of(str(left.id)) == "local"


@pytest.mark.parametrize(
    ("choices", "found"),
    [
        ("auto", ["auto"]),
        ("", ["auto"]),
        ("wildloop-slurm-compute/a, local", ["local", "wildloop-slurm-compute/a"]),
    ],
)
def test_this_host_comes_first(choices: str, found: list[str]) -> None:
    assert computes.split(choices) == found


@pytest.mark.parametrize("choices", ["local,local", "auto,local"])
def test_what_cannot_stand_together_is_refused(choices: str) -> None:
    with pytest.raises(InvalidRequest, match="--compute"):
        computes.split(choices)


async def test_two_blocks_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def find(choice: str, host: str, slots: int | None) -> Any:
        cluster = Cluster(type=ClusterType.SLURM, label="lab", last_detected_at=0, host="here")
        name = choice.rpartition("/")[2]
        return HostRecord(host=host, cluster=cluster, cpus=1, compute=name), SlurmCompute()

    monkeypatch.setattr(computes, "find_record", find)
    one, other = "wildloop-slurm-compute/lab", "wildloop-kubernetes-compute/lab"
    with pytest.raises(InvalidRequest, match="one name"):
        await computes.find_all(f"{one},{other}", "here", None)
    found = await computes.find_all(f"{one},wildloop-slurm-compute/two", "here", None)
    assert [offer.name for offer in found.record.offers] == ["lab", "two"]
    assert not found.launchers.is_local
