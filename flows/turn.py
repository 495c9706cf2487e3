"""One agent call: the prompt, the process, the reply, the record."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import httpx
from prefect.logging import get_run_logger
from pydantic import BaseModel

from blocks.agents.base import AgentReply
from blocks.agents.prices import Usage
from flows.calls import CallEnd, call_agent
from flows.catalog import api_catalog
from flows.errors import Unavailable
from flows.keep.texts import isolation_section, keep_section
from flows.models.run import Run
from flows.models.session_record import IterationRecord
from flows.models.spending import Spending
from flows.prompts import (
    PromptContext,
    budget_section,
    cluster_state,
    faults_section,
    memories_section,
    render_prompt,
    steer_section,
    struggle_section,
    user_availability,
)
from flows.protocol.tags import AgentReplyTags, parse_reply
from flows.redaction import Redactor
from flows.research_context import research_sections
from flows.results import scored
from flows.search.summary import evo_sweep_section
from flows.session import ResearchSession
from flows.spending import spending
from flows.struggle import struggle_signs
from flows.transcripts import keep_events, write_transcript

AUTH_HEADER = '-H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN"'
SKILLS = {
    "planning": "wild_v2_planning",
    "iteration": "wild_v2_iteration",
    "reflection": "wild_v2_reflection",
}
API_PATIENCE_S = 300.0
Kind = Literal["planning", "iteration", "reflection"]
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


async def take_turn(
    session: ResearchSession, kind: Kind, index: int, turn: int = 1, faults: Sequence[str] = ()
) -> Turn:
    """Call the agent once; its process is adopted if it was begun before a restart."""
    assert session.agent is not None
    record = IterationRecord(index=index, turn=turn, kind=kind, started_at=0.0)
    steers: list[tuple[str, str, float]] = []

    async def write_prompt(interrupted: bool) -> str:
        steers[:] = await session.sessions.steers(session.id)
        context = await prompt_context(session, kind, index, [text for _, text, _ in steers])
        context.faults_section = faults_section([*faults, *_last_faults(session)])
        context.interrupted_section = INTERRUPTED if interrupted else ""
        return render_prompt(session.library, SKILLS[kind], context)

    end = await call_agent(session, record, write_prompt)
    reply = _masked(session, end.reply)
    tags = parse_reply(reply.text)
    record.steered = [text for _, text, _ in steers]
    await _fill(session, record, reply, tags, end)
    get_run_logger().info("%s: agent %s, %s", record.label, reply.exit_reason, record.summary[:300])
    return Turn(record=record, reply=reply, tags=tags, steer_keys=[key for key, _, _ in steers])


async def _fill(
    session: ResearchSession,
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
    record.continue_session = tags.continue_session
    record.reflection = tags.reflection or ""
    record.change = tags.change
    record.faults = list(tags.faults)
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
    record.transcript = str(write_transcript(session, record, end.prompt, reply))
    events = await asyncio.to_thread(keep_events, session, record.label, end.folders, reply)
    record.events = str(events) if events is not None else None


def _masked(session: ResearchSession, reply: AgentReply) -> AgentReply:
    """The reply without secrets, should the agent have printed them."""
    token = session.settings.token
    redactor = Redactor.of(os.environ, token.get_secret_value() if token is not None else None)
    error = redactor(reply.error) if reply.error else None
    return reply.model_copy(update={"text": redactor(reply.text), "error": error})


def _last_faults(session: ResearchSession) -> list[str]:
    """What the last call got wrong, for the next one to hear."""
    if not session.record.iterations:
        return []
    last = session.record.iterations[-1]
    told = list(last.faults)
    if last.failed and last.error:
        told.append(f"The last call ({last.label}) failed: {last.error}")
    return told


async def prompt_context(
    session: ResearchSession, kind: Kind, index: int, steers: list[str]
) -> PromptContext:
    """All template variables, read fresh."""
    runs, capacity = await session.all_runs(), await session.cluster.capacity()
    cluster = await session.cluster.cluster()
    sweep = await session.evo.find(session.id) if session.spec.evo_sweep_enabled else None
    memories = await session.memories.for_prompt(session.workdir)
    used = spending(session.record, runs)
    return PromptContext(
        **await research_sections(session, kind, runs, sweep, used),
        goal=session.spec.goal,
        workdir=str(session.workdir),
        iteration=index,
        max_iterations=session.spec.max_iterations,
        tasks_path=str(session.paths.tasks),
        log_path=str(session.paths.log),
        playbook_path=str(session.paths.playbook),
        server_url=session.settings.server_url,
        session_id=session.id,
        steer_section=_steer_text(session, steers),
        struggle_section=struggle_section(_signs(session, runs)),
        api_catalog=await _catalog(session),
        auth_header=AUTH_HEADER,
        memories=memories_section([memory.line for memory in memories]),
        evo_sweep_section=evo_sweep_section(session.spec.evo_sweep_enabled, sweep),
        evo_sweep_enabled=session.spec.evo_sweep_enabled,
        keep_section=isolation_section(session.spec.isolation == "snapshot")
        + keep_section(
            session.record.keep,
            session.spec.keep_alpha,
            session.spec.keep == "better",
            session.record.iterations[-1] if session.record.iterations else None,
        ),
        plan=session.plan_text(),
        summary_of_work="\n".join(
            f"- {it.label}: {it.summary}" for it in session.record.iterations if it.summary
        ),
        user_availability=user_availability(
            session.spec.away_duration_minutes, session.spec.autonomy_level
        ),
        autonomy_level=session.spec.autonomy_level,
        cluster_state=cluster_state(
            g=capacity.g,
            r=capacity.r,
            q=capacity.q,
            max_new_runs=capacity.max_new_runs,
            label=cluster.label,
        ),
        budget_section=budget_text(session, used),
    )


def budget_text(session: ResearchSession, used: Spending) -> str:
    """What is used of the budget, and that the session is at its end, if it is."""
    text = budget_section(
        session.spec.budget,
        hours_used=used.hours,
        cost_used=used.cost_usd,
        gpu_hours_used=used.gpu_hours,
        runs_used=used.runs,
    )
    if session.record.closing is None:
        return text
    return (
        f"{text}\n\nThis session is at its end ({session.record.closing.reason}). This is its last "
        "call: create no run, plan nothing new, weigh what there is and keep the lessons."
    )


def _steer_text(session: ResearchSession, steers: list[str]) -> str:
    """What the user says, with the skill that tells how to take it up; empty without a steer."""
    if not steers:
        return ""
    context = PromptContext(
        goal=session.spec.goal,
        tasks_path=str(session.paths.tasks),
        steer_section=steer_section(steers),
    )
    return render_prompt(session.library, "wild_v2_steer", context)


def _signs(session: ResearchSession, runs: Sequence[Run]) -> list[str]:
    metric = session.project.metric if session.project else None
    history = [value for value, _ in scored(runs, metric.name)] if metric else []
    direction = metric.direction if metric else "max"
    return struggle_signs(session.record.iterations, history, direction)


async def _catalog(session: ResearchSession) -> str:
    """The API in short. The API may be restarting: it is given some minutes to come back."""
    url = f"{session.settings.server_url}/openapi.json"
    deadline, pause = datetime.now(UTC).timestamp() + API_PATIENCE_S, 0.5
    async with httpx.AsyncClient(timeout=10) as http:
        while True:
            try:
                response = await http.get(url)
                response.raise_for_status()
                return api_catalog(response.json(), AUTH_HEADER)
            except httpx.HTTPError as error:
                if datetime.now(UTC).timestamp() > deadline:
                    raise Unavailable(
                        f"the Wildloop API at {session.settings.server_url} does not answer: "
                        f"{error}"
                    ) from error
            await asyncio.sleep(pause)
            pause = min(10.0, pause * 2)
