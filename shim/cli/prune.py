"""`wildloop prune`: take away what is old, in Prefect and on disk."""

import asyncio
import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

from wildloop.shim.cli.output import fail, print_json
from wildloop.shim.cli.prefect_target import aim_prefect
from wildloop.shim.cli.research import Json

if TYPE_CHECKING:
    from wildloop.flows.models.prune import PrunePlan

UNITS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
LEAST_SECONDS = 3600.0
SHOWN = 10


def prune(
    older_than: Annotated[
        str, typer.Option(help="Age since its end: hours, days or weeks, like 36h, 90d, 12w.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, it is only told.")] = False,
    as_json: Json = False,
) -> None:
    """Remove old sessions and runs: flow runs, logs, artifacts, folders. A dry run without --yes.

    A session goes as a whole, once it and all its runs ended so long ago.
    """
    before = time.time() - seconds_of(older_than)
    aim_prefect()
    plan = asyncio.run(_prune(before, yes))
    if as_json:
        print_json(plan)
        return
    for line in plan_lines(plan, is_done=yes):
        typer.echo(line)


def seconds_of(age: str) -> float:
    """The seconds of an age like `90d`."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([hdw])\s*", age)
    if match is None:
        fail(f"--older-than: '{age}' is no age: give hours, days or weeks, like 36h, 90d, 12w", 2)
    seconds = float(match[1]) * UNITS[match[2]]
    if seconds < LEAST_SECONDS:
        fail(f"--older-than: '{age}' is less than an hour: give 1h or more", 2)
    return seconds


def plan_lines(plan: "PrunePlan", is_done: bool) -> list[str]:
    """What goes, or has gone, for people."""
    stays = [f"stays     {text}" for text in plan.left]
    if plan.is_empty:
        return ["nothing is so old", *stays]
    flow_runs = len(plan.flow_runs)
    lines = [
        f"sessions  {len(plan.sessions)}, with {len(plan.steps)} steps",
        f"runs      {len(plan.runs)}",
        f"artifacts {len(plan.artifacts)} versions, {size_text(plan.artifact_bytes)}",
        f"logs      {plan.logs} lines of {flow_runs} flow runs, {size_text(plan.log_bytes)}",
        f"folders   {len(plan.folders)}, {size_text(plan.folder_bytes)} on this machine",
    ]
    lines += [f"          {one.path}  {size_text(one.size)}" for one in plan.folders[:SHOWN]]
    if len(plan.folders) > SHOWN:
        lines.append(f"          and {len(plan.folders) - SHOWN} more (--json names all)")
    total = plan.artifact_bytes + plan.log_bytes + plan.folder_bytes
    said = "removed" if is_done else "to be removed"
    lines += [*stays, f"{said}: {size_text(total)}"]
    if not is_done:
        lines.append("Nothing was changed: say --yes to do it.")
    return lines


def size_text(size: int) -> str:
    """Bytes as people read them: 512 B, 3.4 kB, 1.2 GB."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


async def _prune(before: float, yes: bool) -> "PrunePlan":
    from prefect.client.orchestration import get_client

    from wildloop.flows.store.prune import plan_prune, prune

    async with get_client() as client:
        plan = await plan_prune(client, before)
        if yes:
            await prune(client, plan)
        return plan
