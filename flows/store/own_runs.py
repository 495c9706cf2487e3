"""The runs that Wildloop makes for sessions: created, and read beside a session's own."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect.logging import get_logger
from pydantic import ValidationError

from wildloop.flows.errors import WildloopError
from wildloop.flows.evidence.configuration import Configuration
from wildloop.flows.evidence.confirm import Wanted, reseeded
from wildloop.flows.evidence.settings import is_seed
from wildloop.flows.files.manifest import read_manifest
from wildloop.flows.files.paths import RunPaths
from wildloop.flows.git.process import GitError
from wildloop.flows.git.snapshot import snapshot_of_tree
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.own_runs import (
    OwnRuns,
    is_evaluation,
    is_made_for,
    own_id,
)
from wildloop.flows.models.run import MOST_PRIORITY, Checkout, Run, RunCreate, RunStatus
from wildloop.flows.store.base import EXPERIMENT
from wildloop.flows.store.run_mapping import readable_spec
from wildloop.flows.store.runs import RunStore

NAME_LENGTH = 60
logger = get_logger(__name__)


def purposes(contract: SessionContract | None) -> list[OwnRuns]:
    """What a session with this contract may have such runs for."""
    found = []
    if contract is not None and contract.may_verify:
        found.append(OwnRuns.CONFIRM)
    if contract is not None and contract.may_confirm and contract.further_seeds:
        found.append(OwnRuns.FURTHER)
    if contract is not None and contract.evaluate is not None:
        found.append(OwnRuns.EVALUATE)
    return found


async def own_runs(store: RunStore, session_id: str, contract: SessionContract | None) -> list[Run]:
    """All of them, oldest first; no request where there are none by the contract."""
    ids = [own_id(session_id, one) for one in purposes(contract)]
    return await store.all(chat_session_id=ids[0], also_called=ids[1:]) if ids else []


def own_of(
    by_session: Mapping[str, Sequence[Run]], session_id: str, contract: SessionContract | None
) -> list[Run]:
    """As `own_runs`, from runs that were read already."""
    return [
        run for one in purposes(contract) for run in by_session.get(own_id(session_id, one), [])
    ]


def repeats_of(one: Configuration, own: Sequence[Run], purpose: OwnRuns) -> list[Run]:
    """Those of Wildloop's own runs that repeat a configuration for this, waiting ones too.

    Which code a run executes is known once it is launched; until then its parent tells.
    """
    ids = {run.id for run in one.runs}
    return [run for run in own if is_made_for(run, purpose) and run.parent_run_id in ids]


async def run_again(
    store: RunStore,
    session_id: str,
    contract: SessionContract,
    wanted: Wanted,
    seeds: Sequence[int],
    begun: int | None = None,
    purpose: OwnRuns = OwnRuns.CONFIRM,
    merged: Checkout | None = None,
) -> list[str]:
    """Create Wildloop's own runs of one configuration, each once; their ids.

    Args:
        store: of runs.
        session_id: the session that they confirm.
        contract: of it.
        wanted: the configuration, and how many runs.
        seeds: fresh ones, used in turn.
        begun: how many there are of it already (default: those that were launched).
        purpose: what they are for.
        merged: the code to run instead of the configuration's own.
    """
    one = wanted.configuration
    before = len(one.own_runs) if begun is None else begun
    first = next((run for run in one.runs if run.status is RunStatus.FINISHED), one.runs[0])
    try:
        checkout = merged or await _code_of(first)
        flow_run = await store.read_flow_run("run", first.id, EXPERIMENT)
        spec = readable_spec(flow_run)
    except (WildloopError, GitError, OSError, ValidationError) as error:
        logger.warning("%s is not confirmed: %s", one.name, error)
        return []
    ids = []
    for number in range(before, before + wanted.runs):
        seed = seeds[number % len(seeds)]
        command = reseeded(spec.command, seed, contract.seed_parameter)
        parameters = {
            name: seed if is_seed(name) and command else value
            for name, value in spec.parameters.items()
        }
        told = f" seed {seed}" if command else ""
        body = RunCreate(
            **spec.model_dump(
                exclude={
                    "name",
                    "command",
                    "parameters",
                    "seed",
                    "checkout",
                    "priority",
                    "researcher",
                    "chat_session_id",
                    "sweep_id",
                    "parent_run_id",
                    "origin_alert_id",
                }
            ),
            name=f"{purpose.value} {one.label[:NAME_LENGTH]}{told}",
            command=command or spec.command,
            parameters=parameters,
            seed=seed if command else None,
            checkout=checkout,
            # Others wait for what a merge waits for.
            priority=min(spec.priority + (merged is not None), MOST_PRIORITY),
            chat_session_id=own_id(session_id, purpose),
            parent_run_id=first.id,
            auto_start=True,
        )
        code = f":{merged.snapshot}" if merged is not None else ""
        key = f"{session_id}:{purpose.value}:{contract.number}:{one.id}:{number}{code}"
        ids.append((await store.create(body, idempotency_key=key)).id)
    logger.info("%s: %d runs by Wildloop itself", one.name, len(ids))
    return ids


async def evaluate(
    store: RunStore, session_id: str, contract: SessionContract, runs: Sequence[Run]
) -> list[str]:
    """Have the outputs of finished runs evaluated, each once; ids of the new evaluations.

    Args:
        store: of runs.
        session_id: the session that they belong to.
        contract: of it.
        runs: of the session, and those that Wildloop has made for it, evaluations too.
    """
    if contract.evaluate is None:
        return []
    known = {run.parent_run_id for run in runs if is_evaluation(run)}
    ids = []
    for run in runs:
        if run.status is not RunStatus.FINISHED or is_evaluation(run) or run.id in known:
            continue
        body = RunCreate(
            name=f"evaluate {run.name}"[:200],
            command=contract.evaluate,
            workdir=run.workdir,
            env={"WILDLOOP_EVALUATED_RUN_DIR": run.run_dir},
            gpus=contract.evaluate_gpus,
            timeout_seconds=contract.evaluate_seconds,
            checkout=contract.beginning,
            chat_session_id=own_id(session_id, OwnRuns.EVALUATE),
            parent_run_id=run.id,
            auto_start=True,
        )
        key = f"{session_id}:evaluate:{contract.number}:{run.id}"
        ids.append((await store.create(body, idempotency_key=key)).id)
    return ids


async def _code_of(run: Run) -> Checkout:
    """The exact files that a run executed, as a commit.

    Raises:
        GitError: they are gone.
        OSError, ValidationError: its manifest cannot be read.
    """
    manifest = await asyncio.to_thread(read_manifest, RunPaths(Path(run.run_dir)))
    if manifest.git_commit is None or (manifest.snapshot is None and manifest.tree is None):
        raise GitError(f"the code of run '{run.id}' was not recorded")
    if manifest.snapshot is not None:
        return Checkout(git_commit=manifest.git_commit, snapshot=manifest.snapshot)
    return await snapshot_of_tree(Path(run.workdir), manifest.tree or "", manifest.git_commit)
