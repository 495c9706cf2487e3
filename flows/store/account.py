"""The account of a session, read from Prefect, git and the runs' folders; and taking runs out."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from wildloop.flows.errors import Conflict
from wildloop.flows.evidence.account import Account
from wildloop.flows.evidence.configuration import Configuration, configuration_id
from wildloop.flows.evidence.view import view_of
from wildloop.flows.files.manifest import read_manifest
from wildloop.flows.files.paths import RunPaths, SessionPaths
from wildloop.flows.git.code import code_of_tree
from wildloop.flows.git.process import GitError
from wildloop.flows.keep.standing import account_of
from wildloop.flows.metrics.contract import first_contract
from wildloop.flows.models.evidence import AccountView, Standing
from wildloop.flows.models.run import Run, RunFacts
from wildloop.flows.models.session import Session
from wildloop.flows.project import ProjectConfig
from wildloop.flows.store.base import EXPERIMENT
from wildloop.flows.store.own_runs import own_runs
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.session_mapping import project_of, read_plan
from wildloop.flows.store.sessions import SessionStore
from wildloop.flows.store.stream import tell_changed
from wildloop.flows.store.sweeps import sweep_texts

DECIDED = frozenset({Standing.BASELINE, Standing.BEST, Standing.BETTER})


async def read_evidence(sessions: SessionStore, runs: RunStore, session: Session) -> AccountView:
    """The whole account of a session, with the blobs of the files that each configuration ran."""
    account, project = await session_account(sessions, runs, session)
    skipped = project.project.not_code if project is not None else []
    blobs = {}
    for one in account.configurations:
        blobs[one.id] = await _blobs(one, skipped)
    return view_of(account, session.session_id, blobs)


async def withdraw(sessions: SessionStore, runs: RunStore, run_id: str, reason: str) -> list[Run]:
    """Take a run's configuration, all its seeds, out of the comparison.

    Returns:
        Its runs.

    Raises:
        NotFound: there is no such run.
        Conflict: it belongs to no session, or there is a verdict on its configuration.
    """
    run = await runs.get(run_id)
    if run.chat_session_id is None:
        raise Conflict(f"run '{run_id}' belongs to no session: nothing compares it")
    session = await sessions.find(run.chat_session_id)
    account, _ = await session_account(sessions, runs, session)
    record = await sessions.record(session.session_id)
    mine = account.by_run.get(run_id)
    known = {
        seen.id
        for verdict in record.keep.verdicts
        for seen in (verdict.candidate, verdict.against)
        if seen is not None
    }
    decided = mine is not None and (mine.id in known or account.standing(mine) in DECIDED)
    if mine is not None and decided:
        raise Conflict(
            f"the configuration of run '{run_id}' ({mine.name}) has its verdict: it can be "
            "withdrawn only before"
        )
    every = await runs.all(chat_session_id=run.chat_session_id)
    same = [one for one in every if configuration_id(one) == configuration_id(run)]
    for one in same:
        flow_run = await runs.read_flow_run("run", one.id, EXPERIMENT)
        await runs.write_facts(flow_run.id, RunFacts(withdrawn=reason))
        tell_changed(flow_run.id)
    return [one.model_copy(update={"withdrawn": reason}) for one in same]


async def session_account(
    sessions: SessionStore, runs: RunStore, session: Session
) -> tuple[Account, ProjectConfig | None]:
    """The account of a session, and its project's wildloop.toml if there is one."""
    record, every = await asyncio.gather(
        sessions.record(session.session_id), runs.all(chat_session_id=session.session_id)
    )
    paths = SessionPaths.of(session.workdir, session.session_id)
    project = project_of(session.workdir)
    account = account_of(
        every,
        record.iterations,
        record.contract
        or first_contract(project, await asyncio.to_thread(read_plan, paths), session.goal),
        own=await own_runs(runs, session.session_id, record.contract),
        alpha=session.keep_alpha,
        kept=record.keep if session.keep == "better" else None,
        sweep_texts=await sweep_texts(runs.client, every),
    )
    return account, project


async def _blobs(one: Configuration, skipped: Sequence[str]) -> dict[str, str]:
    """The files that a configuration ran; none where its tree is gone."""
    run = one.runs[0]
    try:
        tree = (await asyncio.to_thread(read_manifest, RunPaths(Path(run.run_dir)))).tree
        if tree is None:
            return {}
        return await code_of_tree(Path(run.workdir), tree, run.command, skipped)
    except (OSError, ValidationError, GitError):
        return {}
