"""What is looked at after each call of the agent, and told to agent and user."""

import asyncio
from collections.abc import Sequence

from prefect.events import emit_event
from prefect.logging import get_run_logger

from wildloop.flows.git.process import GitError
from wildloop.flows.guards.leaks import (
    changed_in_worktree,
    commits_with_token,
    files_below,
    mask_token,
)
from wildloop.flows.keep.ledger import put_back
from wildloop.flows.loop.direct_runs import direct_starts
from wildloop.flows.loop.work import Work
from wildloop.flows.models.session_record import SessionRecord
from wildloop.flows.session.agent_token import tokens_of
from wildloop.flows.session.position import Position
from wildloop.flows.skills.fixed import changed_skills
from wildloop.flows.turn.turn import Turn

GUARD_EVENT = "wildloop.guard.breach"
GUARD_RESOURCE = "wildloop.guards"
MANY = 10


async def begin_guards(work: Work) -> str:
    """Record the protected files before the agent is first called; say what is protected.

    Raises:
        TooManyFiles, OSError: they cannot be recorded.
    """
    patterns = work.project.protected_patterns if work.project else []
    guard = await work.control.guards.begin(
        work.client, work.settings.home, work.position.id, work.position.workdir, patterns
    )
    if guard is None:
        return "nothing is protected"
    for note in guard.baseline.notes:
        get_run_logger().warning("protected files: %s", note)
    return f"{len(guard.baseline.files)} files are protected"


async def inspect_call(work: Work, turn: Turn, commands: Sequence[str]) -> None:
    """Undo and note what a call has done against the rules: in its record, log and events.

    Args:
        work: the session.
        turn: the call that has ended.
        commands: of the session's runs.
    """
    paths, tokens = work.position.paths, tokens_of(work.settings, work.position.called)
    direct = await direct_starts(paths, turn.record.label, turn.processes, commands, work.project)
    breaches = [
        *await _protected(work, turn),
        *[told for token in tokens for told in await _leaks(work.position, token)],
        *direct[:MANY],
        *await _ledger(work, turn),
    ]
    turn.record.faults += [*breaches, *await _skills(work, turn)]
    turn.record.breaches += breaches
    for text in breaches:
        get_run_logger().warning("%s: %s", turn.record.label, text)
    if breaches:
        emit_event(
            GUARD_EVENT,
            resource={
                "prefect.resource.id": GUARD_RESOURCE,
                "wildloop.session.id": work.position.id,
                "wildloop.call": turn.record.label,
            },
            payload={"breaches": breaches},
        )


async def _protected(work: Work, turn: Turn) -> list[str]:
    guards = work.control.guards
    guard = await guards.find(work.client, work.settings.home, work.position.id)
    if guard is None:
        return []
    await asyncio.to_thread(guard.enforce)
    # A run that started meanwhile may have found it first.
    found = guard.since(turn.record.started_at)
    if work.position.workdir != work.position.main:
        elsewhere = guard.elsewhere(work.position.workdir)
        own = await asyncio.to_thread(elsewhere.enforce)
        found = [bad for bad in own if bad.what != "touched"]
    told = [f"{bad.text}: measure with protected files, never edit them" for bad in found[:MANY]]
    if len(found) > MANY:
        told.append(f"{len(found) - MANY} more protected files were not as they have to be")
    return told


async def _ledger(work: Work, turn: Turn) -> list[str]:
    """Put results.tsv back, where the call has written to it."""
    paths, verdicts = work.position.paths, work.position.record.keep.verdicts
    applied = [one for one in verdicts if one.applied]
    if not await asyncio.to_thread(put_back, paths.results, applied, turn.record.started_at):
        return []
    return [
        f"{paths.results.name} beside the plan is written by Wildloop alone, a row for each of its "
        "decisions: what was written there was taken out; keep notes in a file of your own"
    ]


async def _skills(work: Work, turn: Turn) -> list[str]:
    """What was changed in the project's skills during a call, by whomever."""
    found = await asyncio.to_thread(
        changed_skills, work.position.workdir, work.library, turn.record.started_at
    )
    if not found:
        return []
    told = (
        f"the project's skills were changed ({', '.join(found[:MANY])}): this session goes on by "
        "those that it began with; the next one that the user starts takes them"
    )
    get_run_logger().warning("%s: %s", turn.record.label, told)
    return [told]


async def _leaks(position: Position, token: str) -> list[str]:
    """Mask the token in what the call has written, before it is committed or read again."""
    root = position.paths.root
    names, commits = {str(root / name) for name in files_below(root)}, []
    try:
        names |= set(await changed_in_worktree(position.workdir))
        if (last := _last_commit(position.record)) is not None:
            commits = await commits_with_token(position.workdir, last, token)
    except GitError as error:
        get_run_logger().warning("the repository was not searched for the token: %s", error)
    found = await asyncio.to_thread(mask_token, position.workdir, sorted(names), token)
    told = [
        f"'{name}' held Wildloop's token, which was masked: never write it anywhere; "
        "$WILDLOOP_AUTH_TOKEN stands for it in commands"
        for name in found[:MANY]
    ]
    told += [
        f"commit {commit[:12]} holds Wildloop's token: take it out of the branch; an agent's "
        "ends with its session; the user has to change his own (remove the file `token` in "
        "WILDLOOP_HOME and start `wildloop up` again)"
        for commit in commits[:MANY]
    ]
    return told


def _last_commit(record: SessionRecord) -> str | None:
    """The last commit that Wildloop has made or found: later ones are the agent's."""
    made = [it.commit for it in record.iterations if it.commit]
    return made[-1] if made else record.base_commit
