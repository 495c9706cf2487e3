"""What is looked at after each call of the agent, and told to agent and user."""

import asyncio
from collections.abc import Sequence

from prefect.events import emit_event
from prefect.logging import get_run_logger

from flows.git_process import GitError
from flows.guards.direct import direct_starts
from flows.guards.leaks import changed_in_worktree, files_below, mask_token
from flows.session import ResearchSession
from flows.turn import Turn

GUARD_EVENT = "wildloop.guard.breach"
GUARD_RESOURCE = "wildloop.guards"
MANY = 10


async def begin_guards(session: ResearchSession) -> str:
    """Record the protected files before the agent is first called; say what is protected.

    Raises:
        TooManyFiles, OSError: they cannot be recorded.
    """
    patterns = session.project.protected_patterns if session.project else []
    guard = await session.control.guards.begin(
        session.client, session.settings.home, session.id, session.workdir, patterns
    )
    if guard is None:
        return "nothing is protected"
    for note in guard.baseline.notes:
        get_run_logger().warning("protected files: %s", note)
    return f"{len(guard.baseline.files)} files are protected"


async def inspect_call(session: ResearchSession, turn: Turn, commands: Sequence[str]) -> None:
    """Undo and note what a call has done against the rules: in its record, log and events.

    Args:
        session: the session.
        turn: the call that has ended.
        commands: of the session's runs.
    """
    breaches = [
        *await _protected(session, turn),
        *await _leaks(session),
        *(await direct_starts(session, turn.record.label, commands))[:MANY],
    ]
    turn.record.faults += breaches
    turn.record.breaches += breaches
    for text in breaches:
        get_run_logger().warning("%s: %s", turn.record.label, text)
    if breaches:
        emit_event(
            GUARD_EVENT,
            resource={
                "prefect.resource.id": GUARD_RESOURCE,
                "wildloop.session.id": session.id,
                "wildloop.call": turn.record.label,
            },
            payload={"breaches": breaches},
        )


async def _protected(session: ResearchSession, turn: Turn) -> list[str]:
    guard = await session.control.guards.find(session.client, session.settings.home, session.id)
    if guard is None:
        return []
    await asyncio.to_thread(guard.enforce)
    # A run that started meanwhile may have found it first.
    found = guard.since(turn.record.started_at)
    told = [f"{bad.text}: measure with protected files, never edit them" for bad in found[:MANY]]
    if len(found) > MANY:
        told.append(f"{len(found) - MANY} more protected files were not as they have to be")
    return told


async def _leaks(session: ResearchSession) -> list[str]:
    """Mask the token in what the call has written, before it is committed or read again."""
    token = session.settings.token
    if token is None:
        return []
    names = {str(session.paths.root / name) for name in files_below(session.paths.root)}
    try:
        names |= set(await changed_in_worktree(session.workdir))
    except GitError as error:
        get_run_logger().warning("changed files not searched for the token: %s", error)
    found = await asyncio.to_thread(
        mask_token, session.workdir, sorted(names), token.get_secret_value()
    )
    return [
        f"'{name}' held Wildloop's token, which was masked: never write it anywhere; "
        "$WILDLOOP_AUTH_TOKEN stands for it in commands"
        for name in found[:MANY]
    ]
