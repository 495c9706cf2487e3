"""One agent call: the prompt, the process, the reply, the record."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from prefect.logging import get_run_logger
from pydantic import BaseModel, Field

from wildloop.blocks.agents.base import AgentReply
from wildloop.blocks.agents.prices import Usage
from wildloop.flows.models.session_record import IterationRecord, SessionRecord
from wildloop.flows.prompt.context import PromptSources, prompt_context
from wildloop.flows.prompt.kind import SKILLS, Kind
from wildloop.flows.prompt.sections import render_prompt
from wildloop.flows.prompt.tokens import repeated_share, tokens_by_part
from wildloop.flows.protocol.tags import AgentReplyTags, parse_reply
from wildloop.flows.store.said import JUST_NOW_SECONDS
from wildloop.flows.text.redaction import Redactor
from wildloop.flows.turn.caller import Caller
from wildloop.flows.turn.calls import CallEnd, call_agent
from wildloop.flows.turn.transcripts import keep_events, prompt_of, write_transcript

INTERRUPTED = (
    "The call before this one was interrupted (pause, restart or crash) before it had ended. "
    "Look at the files and runs it has left before you do anything again."
)


class Turn(BaseModel):
    """An agent call that has ended."""

    record: IterationRecord
    reply: AgentReply
    tags: AgentReplyTags
    steer_keys: list[str]
    processes: set[tuple[str, ...]] = Field(
        default_factory=set, description="Words of the agent's processes that ran a script."
    )


async def take_turn(
    caller: Caller,
    sources: PromptSources,
    kind: Kind,
    index: int,
    turn: int = 1,
    faults: Sequence[str] = (),
    sections: Mapping[str, str] | None = None,
) -> Turn:
    """Call the agent once; its process is adopted if it was begun before a restart.

    Args:
        caller: the agent.
        sources: what its prompt is made from.
        kind: of the call.
        index: number of the iteration.
        turn: of the call within it.
        faults: what it is told beside those of the last call.
        sections: template variables that only the step knows.
    """
    record = IterationRecord(index=index, turn=turn, kind=kind, started_at=0.0)
    steers: list[tuple[str, str, float]] = []

    async def write_prompt(interrupted: bool) -> str:
        steers[:] = await sources.stores.sessions.said.steers(sources.position.id, JUST_NOW_SECONDS)
        texts = [text for _, text, _ in steers]
        context, record.told_runs = await prompt_context(
            sources, kind, index, texts, turn, faults=faults
        )
        context = context.model_copy(update=dict(sections or {}))
        context.interrupted_section = INTERRUPTED if interrupted else ""
        return render_prompt(sources.library, SKILLS[kind], context)

    end = await call_agent(caller, record, write_prompt)
    reply = _masked(end.reply, caller.tokens)
    tags = parse_reply(reply.text)
    record.steered = [text for _, text, _ in steers]
    await _fill(caller, record, reply, tags, end)
    get_run_logger().info("%s: agent %s, %s", record.label, reply.exit_reason, record.summary[:300])
    return Turn(record=record, reply=reply, tags=tags, steer_keys=[key for key, _, _ in steers])


async def _fill(
    caller: Caller,
    record: IterationRecord,
    reply: AgentReply,
    tags: AgentReplyTags,
    end: CallEnd,
) -> None:
    record.started_at, record.finished_at = end.began_at, datetime.now(UTC).timestamp()
    record.exit_reason = reply.exit_reason
    record.usage = Usage.model_validate(reply.usage) if reply.usage else None
    record.cost_usd, record.cost_is_estimate = reply.cost_usd, reply.cost_is_estimate
    record.num_turns, record.held_seconds = reply.num_turns, end.held_seconds
    record.summary = tags.summary or ""
    record.promise = tags.promise
    record.wake = tags.wake if tags.promise == "WAITING" else None
    record.continue_session = tags.continue_session
    record.reflection = tags.reflection or ""
    record.change = tags.change
    record.faults, record.troubles = list(tags.faults), list(tags.quoted)
    if end.was_cut:
        # Its time was up by the budget: that is the session's end, not the agent's failure.
        record.error = f"the session's time was used up: {reply.error or reply.exit_reason}"
    elif reply.exit_reason != "finished":
        record.failed = True
        record.error = reply.error or f"the agent's call ended: {reply.exit_reason}"
    elif not reply.text.strip():
        record.failed = True
        record.error = "the agent gave no reply"
    elif tags.is_empty:
        record.failed = True
        record.error = "the reply has no tags"
    await asyncio.to_thread(_measure_prompt, caller.position.record, record, end.prompt)
    paths = caller.position.paths
    record.transcript = str(write_transcript(paths, record, end.prompt, reply))
    events = await asyncio.to_thread(
        keep_events, paths, record.label, end.folders, reply, caller.tokens
    )
    record.events = str(events) if events is not None else None


def _measure_prompt(session: SessionRecord, record: IterationRecord, prompt: str) -> None:
    """Note how long the prompt was by part, and what of it a provider's cache may have had."""
    record.prompt_characters, record.prompt_tokens = len(prompt), tokens_by_part(prompt)
    before = next((it for it in reversed(session.iterations) if it.kind == record.kind), None)
    last = prompt_of(before) if before is not None else None
    record.prompt_repeated = None if last is None else round(repeated_share(last, prompt), 3)


def _masked(reply: AgentReply, tokens: Sequence[str]) -> AgentReply:
    """The reply without secrets, should the agent have printed them."""
    redactor = Redactor.of(os.environ, *tokens)
    error = redactor(reply.error) if reply.error else None
    return reply.model_copy(update={"text": redactor(reply.text), "error": error})
