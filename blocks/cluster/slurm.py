"""Slurm's partitions by sinfo."""

import asyncio
import re
import shutil

from blocks.cluster.models import Partition

SINFO_SECONDS = 5.0
FORMAT = "%R|%a|%G|%l|%D"
_GPUS = re.compile(r"gpu(?::[^:,()]+)?:(\d+)")


async def read_partitions() -> tuple[list[Partition], list[str]]:
    """The partitions of this cluster, and notes on what stood in the way."""
    if shutil.which("sinfo") is None:
        return [], []
    process = await asyncio.create_subprocess_exec(
        "sinfo",
        "-h",
        "-o",
        FORMAT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(SINFO_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return [], [f"sinfo did not answer within {SINFO_SECONDS:g} s"]
    if process.returncode != 0:
        return [], [f"sinfo failed: {err.decode(errors='replace').strip()}"]
    return parse_sinfo(out.decode(errors="replace")), []


def parse_sinfo(text: str) -> list[Partition]:
    """Partitions from `sinfo -h -o '%R|%a|%G|%l|%D'`: one line a partition and gres."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        fields = line.strip().split("|")
        if len(fields) != 5:
            continue
        name, state, gres, limit, nodes = fields
        count = int(nodes) if nodes.isdigit() else 0
        gpus = count * sum(int(number) for number in _GPUS.findall(gres))
        old = found.get(name)
        found[name] = Partition(
            name=name,
            state=state,
            gres=gres if old is None else f"{old.gres},{gres}",
            time_limit=limit,
            nodes=count + (old.nodes if old else 0),
            gpus=gpus + (old.gpus if old else 0),
        )
    return list(found.values())
