"""The evolutionary sweep that a session has under way: begun, taken up again, ended with it."""

import asyncio
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prefect.logging import get_run_logger

from wildloop.flows.loop.evo_sweep import evo_sweep
from wildloop.flows.loop.under_way import Sweeping
from wildloop.flows.loop.work import Work
from wildloop.flows.models.evo import Choice, EvoSweepSpec, EvoSweepState
from wildloop.flows.models.evo_sweep import EvoSweepRecord, EvoSweepStatus
from wildloop.flows.models.sweep import SweepRecord
from wildloop.flows.protocol.evo import parse_evo_sweep
from wildloop.flows.session.position import Position
from wildloop.flows.store.evo import EvoSweepStore
from wildloop.flows.store.stores import Stores
from wildloop.flows.turn.turn import Turn

NOT_ENABLED = (
    "<evo_sweep> is not enabled in this session, so nothing was started: list the trials in "
    "<experiments>. (The user can start a session with evo_sweep_enabled.)"
)
LEAVE_SECONDS = 5.0


async def begin_sweep(position: Position, stores: Stores, turn: Turn) -> None:
    """Turn an <evo_sweep> block into the record of a sweep, which `take_up_sweep` starts.

    What is wrong with the block is told to the agent. A call that is repeated after a crash
    begins nothing twice.
    """
    raw, label = turn.tags.evo_sweep_raw, turn.record.label
    if raw is None:
        return
    if not position.spec.evo_sweep_enabled:
        turn.record.faults.append(NOT_ENABLED)
        return
    last = await stores.evo.find(position.id)
    if last is not None and last.label == label:
        return
    if last is not None and not last.status.is_terminal:
        turn.record.faults.append(
            f"<evo_sweep>: the sweep '{last.name}' is still under way; the new one was not begun. "
            f"Wait for its end, or stop it: POST /wild/v2/evo-sweep/{position.id}/stop."
        )
        return
    spec, faults = parse_evo_sweep(raw)
    if spec is not None:
        faults += script_faults(spec, position.workdir)
    turn.record.faults += faults
    if spec is None or faults:
        return
    now = datetime.now(UTC).timestamp()
    sweep_id = str(uuid5(NAMESPACE_URL, f"wildloop:{position.id}:{label}"))
    await stores.sweeps.write(
        SweepRecord(
            id=sweep_id,
            name=spec.name,
            goal=f"{spec.fitness_metric} ({spec.fitness_direction}) by {spec.sampler.value}",
            base_command=spec.target_script,
            parameters=listed(spec),
            workdir=str(position.workdir / (spec.workdir or ".")),
            chat_session_id=position.id,
            created_at=now,
            metric=spec.fitness_metric,
            direction=spec.fitness_direction,
        ),
        [],
    )
    seed = int.from_bytes(sha256(f"{position.id}:{label}".encode()).digest()[:4])
    await stores.evo.save(
        EvoSweepRecord(
            session_id=position.id,
            label=label,
            sweep_id=sweep_id,
            name=spec.name,
            created_at=now,
            state=EvoSweepState(spec=spec, seed=seed),
        )
    )


def script_faults(spec: EvoSweepSpec, project_root: Path) -> list[str]:
    """What would make every trial fail: no such folder, no such script."""
    folder = project_root / Path(spec.workdir or ".").expanduser()
    if not folder.is_dir():
        return [f"<evo_sweep> workdir: '{spec.workdir}' does not exist; give a folder that does."]
    first = spec.target_script.split()[0]
    if Path(first).suffix in (".py", ".sh") and not (folder / first).is_file():
        return [
            f"<evo_sweep> target_script: there is no '{first}' in {folder}; give its path from "
            "there, or set workdir."
        ]
    return []


def listed(spec: EvoSweepSpec) -> dict[str, list[Any]]:
    """The space as a sweep's table shows it: the values, or the two bounds."""
    return {
        name: list(one.values) if isinstance(one, Choice) else [one.low, one.high]
        for name, one in spec.search_space.items()
    }


async def active_sweep(position: Position, evo: EvoSweepStore) -> EvoSweepRecord | None:
    """The sweep that has been begun and has not ended."""
    if not position.spec.evo_sweep_enabled:
        return None
    record = await evo.find(position.id)
    return None if record is None or record.status.is_terminal else record


async def take_up_sweep(work: Work) -> Sweeping | None:
    """Have the active sweep driven, from where it was; None if there is none."""
    await settle_sweep(work)
    if work.sweeping is None and (record := await _active(work)) is not None:
        task = asyncio.ensure_future(evo_sweep(work.position.id, record.label, return_state=True))
        task.add_done_callback(lambda _: work.control.activity.set())
        work.sweeping = Sweeping(record.label, record.sweep_id, task)
    return work.sweeping


async def settle_sweep(work: Work) -> None:
    """Put a sweep that is no longer driven away; one that broke down is noted as failed."""
    if work.sweeping is None or not work.sweeping.is_over:
        return
    task, work.sweeping = work.sweeping.task, None
    if work.control.reason is None and (record := await _active(work)) is not None:
        why = task.exception() or task.result().message
        get_run_logger().error("the sweep of %s broke down: %s", record.label, why)
        await work.stores.evo.stop_runs(record, running=False)
        await work.stores.evo.end(record, EvoSweepStatus.FAILED, f"It broke down: {why}")


async def leave_sweep(work: Work) -> None:
    """Let go of the sweep, as it is: who takes the session up goes on with it."""
    sweeping, work.sweeping = work.sweeping, None
    if sweeping is None:
        return
    sweeping.is_to_end = True
    work.control.activity.set()
    _, late = await asyncio.wait({sweeping.task}, timeout=LEAVE_SECONDS)
    if late:
        sweeping.task.cancel()
        await asyncio.wait({sweeping.task}, timeout=LEAVE_SECONDS)


async def end_sweep(work: Work, reason: str) -> None:
    """End the sweep with its session; its running trials go on, as other runs do."""
    await leave_sweep(work)
    if (record := await _active(work)) is not None:
        await work.stores.evo.stop_runs(record, running=False)
        await work.stores.evo.end(record, EvoSweepStatus.STOPPED, f"Its session ended: {reason}.")


async def _active(work: Work) -> EvoSweepRecord | None:
    return await active_sweep(work.position, work.stores.evo)
