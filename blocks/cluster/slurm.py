"""Slurm's partitions and nodes, by sinfo and scontrol."""

import asyncio
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from wildloop.blocks.cluster.models import Partition

COMMAND_SECONDS = 5.0
SINFO = ("sinfo", "--noheader", "--Node", "--format=%N|%R|%a|%T|%G|%l")
SHARE = ("sinfo", "--noheader", "--Node", "--format=%N|%P|%a|%T|%G|%c")
SCONTROL = ("scontrol", "show", "config")
_GPUS = re.compile(r"(?:^|,)gpu(?::([^:,()]+))?:(\d+)")
_IN_BRACKETS = re.compile(r"\([^)]*\)")
_USABLE = frozenset(
    {"idle", "mixed", "allocated", "completing", "reserved", "planned", "blocked", "powering_up"}
)
_FIELDS = 6


@dataclass(frozen=True)
class SlurmShare:
    """What jobs of some partitions can have: each usable node counts once.

    `types` are the GPUs by the type that their GRES names.
    """

    partitions: tuple[str, ...]
    gpus: int
    nodes: int
    cpus: int
    types: tuple[tuple[str, int], ...] = ()


class SlurmNode(BaseModel):
    """One node in one partition, as sinfo lists it."""

    model_config = ConfigDict(frozen=True)

    name: str
    partition: str
    available: str
    state: str
    gres: str
    time_limit: str

    @property
    def gpus(self) -> int:
        """GPUs of the node, usable or not."""
        return count_gpus(self.gres)

    @property
    def is_usable(self) -> bool:
        """Whether jobs can run here now or later: up, and neither down, drained nor silent (*)."""
        state = self.state.lower()
        base = re.match(r"[a-z_]*", state)
        return (
            self.available.lower() == "up"
            and "*" not in state
            and base is not None
            and base.group() in _USABLE
        )


@dataclass
class SlurmReading:
    """What Slurm told, and notes on what stood in the way.

    A node counts once, in however many partitions it is: `gpu_count` and `node_count` are those
    of usable nodes.
    """

    partitions: list[Partition] = field(default_factory=list)
    gpu_count: int = 0
    node_count: int = 0
    head_node: str | None = None
    cluster_name: str | None = None
    notes: list[str] = field(default_factory=list)
    broken: bool = False


async def read_slurm(timeout_seconds: float = COMMAND_SECONDS) -> SlurmReading:
    """The Slurm cluster that this host belongs to; empty where there is none."""
    if shutil.which("sinfo") is None:
        return SlurmReading()
    sinfo, scontrol = await asyncio.gather(
        _output(SINFO, timeout_seconds), _output(SCONTROL, timeout_seconds)
    )
    if isinstance(sinfo, _Fault):
        return SlurmReading(notes=[sinfo.note], broken=True)
    reading = summarise(parse_sinfo(sinfo))
    if isinstance(scontrol, _Fault):
        reading.notes.append(scontrol.note)
        return reading
    config = parse_config(scontrol)
    reading.cluster_name = config.get("ClusterName")
    host = config.get("SlurmctldHost[0]") or config.get("ControlMachine")
    reading.head_node = host.partition("(")[0] if host else None
    return reading


async def read_share(
    partitions: str | None, gpu_type: str | None, timeout_seconds: float = COMMAND_SECONDS
) -> SlurmShare | None:
    """What jobs that ask for these partitions can have; None where sinfo does not tell.

    Args:
        partitions: as for --partition; None: the cluster's default one.
        gpu_type: count GPUs of this type only.
        timeout_seconds: for sinfo.
    """
    told = await _output(SHARE, timeout_seconds)
    return None if isinstance(told, _Fault) else parse_share(told, partitions, gpu_type)


def parse_share(text: str, partitions: str | None, gpu_type: str | None) -> SlurmShare | None:
    """As `read_share`, from the output of SHARE; None where no such partition is listed."""
    wanted = set(partitions.split(",")) if partitions else None
    nodes: dict[str, tuple[int, int]] = {}
    found: set[str] = set()
    gres_of: dict[str, str] = {}
    for line in text.splitlines():
        fields = [part.strip() for part in line.split("|")]
        if len(fields) != _FIELDS or not fields[0]:
            continue
        name, partition, available, state, gres, cpus = fields
        is_default = partition.endswith("*")
        partition = partition.rstrip("*")
        if partition not in wanted if wanted is not None else not is_default:
            continue
        found.add(partition)
        node = SlurmNode(
            name=name,
            partition=partition,
            available=available,
            state=state,
            gres="" if gres == "(null)" else gres,
            time_limit="",
        )
        if node.is_usable:
            gres_of[name] = node.gres
            nodes[name] = (count_gpus(node.gres, gpu_type), int(cpus) if cpus.isdigit() else 0)
    if not found:
        return None
    return SlurmShare(
        partitions=tuple(sorted(found)),
        gpus=sum(gpus for gpus, _ in nodes.values()),
        nodes=len(nodes),
        cpus=sum(cpus for _, cpus in nodes.values()),
        types=_by_type(gres_of.values(), gpu_type),
    )


def _by_type(every: Iterable[str], wanted: str | None) -> tuple[tuple[str, int], ...]:
    counts: Counter[str] = Counter()
    for gres in every:
        for kind, number in _GPUS.findall(_IN_BRACKETS.sub("", gres)):
            if kind and wanted in (None, kind):
                counts[kind] += int(number)
    return tuple(sorted(counts.items()))


def parse_sinfo(text: str) -> list[SlurmNode]:
    """Nodes from the output of SINFO; lines of another form are left out."""
    nodes = []
    for line in text.splitlines():
        fields = [part.strip() for part in line.split("|")]
        if len(fields) == _FIELDS and fields[0]:
            name, partition, available, state, gres, limit = fields
            nodes.append(
                SlurmNode(
                    name=name,
                    partition=partition,
                    available=available,
                    state=state,
                    gres="" if gres == "(null)" else gres,
                    time_limit=limit,
                )
            )
    return nodes


def count_gpus(gres: str, gpu_type: str | None = None) -> int:
    """GPUs in a GRES text, such as `gpu:a100:4(S:0-1),shard:8`; of one type, if it is given."""
    found = _GPUS.findall(_IN_BRACKETS.sub("", gres))
    return sum(int(number) for kind, number in found if gpu_type in (None, kind))


def parse_config(text: str) -> dict[str, str]:
    """`name = value` lines of `scontrol show config`."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def summarise(nodes: Iterable[SlurmNode]) -> SlurmReading:
    """Partitions with their nodes counted, and totals in which each node counts once."""
    by_partition: dict[str, list[SlurmNode]] = {}
    usable: dict[str, int] = {}
    unusable: dict[str, str] = {}
    for node in nodes:
        by_partition.setdefault(node.partition, []).append(node)
        if node.is_usable:
            usable[node.name] = node.gpus
        else:
            unusable[node.name] = node.state if node.available.lower() == "up" else node.available
    away = {name: state for name, state in unusable.items() if name not in usable}
    return SlurmReading(
        partitions=[_partition(name, members) for name, members in by_partition.items()],
        gpu_count=sum(usable.values()),
        node_count=len(usable),
        notes=[_away_note(away)] if away else [],
    )


def _partition(name: str, nodes: list[SlurmNode]) -> Partition:
    usable = [node for node in nodes if node.is_usable]
    return Partition(
        name=name,
        state=nodes[0].available,
        gres=",".join(sorted({node.gres for node in nodes if node.gres})),
        time_limit=nodes[0].time_limit,
        nodes=len(usable),
        gpus=sum(node.gpus for node in usable),
    )


def _away_note(away: Mapping[str, str]) -> str:
    shown = ", ".join(f"{name} ({state})" for name, state in sorted(away.items())[:10])
    return f"Slurm nodes left out: {shown}" + (", ..." if len(away) > 10 else "")


@dataclass(frozen=True)
class _Fault:
    note: str


async def _output(command: tuple[str, ...], timeout_seconds: float) -> "str | _Fault":
    """What a Slurm command prints, or why it does not."""
    name = command[0]
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Some sites have sinfo print in other forms by these.
            env={key: text for key, text in os.environ.items() if not key.startswith("SINFO_")},
        )
    except OSError as error:
        return _Fault(f"{name} does not start: {error}")
    try:
        async with asyncio.timeout(timeout_seconds):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return _Fault(f"{name} did not answer within {timeout_seconds:g} s: is slurmctld up?")
    if process.returncode != 0:
        return _Fault(f"{name} failed: {err.decode('utf-8', 'replace').strip()[:300]}")
    return out.decode("utf-8", "replace")
