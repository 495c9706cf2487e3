"""A session's prompts: past ones as they were sent, the next one as it would be sent now."""

import asyncio

from prefect.client.orchestration import PrefectClient

from wildloop.flows.errors import NotFound
from wildloop.flows.loop.gates import due_gates, gate_section
from wildloop.flows.loop.iteration import next_call
from wildloop.flows.models.prompt_view import PromptView
from wildloop.flows.models.session_record import IterationRecord
from wildloop.flows.project import load_project
from wildloop.flows.prompt.context import PromptSources, prompt_context
from wildloop.flows.prompt.kind import SKILLS, Kind
from wildloop.flows.prompt.sections import render_prompt
from wildloop.flows.prompt.tokens import repeated_share, tokens_by_part
from wildloop.flows.session.position import Position
from wildloop.flows.settings import Settings
from wildloop.flows.skills import SkillLibrary, shipped_skills_path
from wildloop.flows.skills.library import project_skills_path
from wildloop.flows.store.base import RESEARCH_LOOP
from wildloop.flows.store.session_mapping import spec_of
from wildloop.flows.store.sessions import SessionStore
from wildloop.flows.store.stores import Stores
from wildloop.flows.turn.transcripts import prompt_of


async def show_prompt(
    client: PrefectClient,
    settings: Settings,
    session_id: str,
    index: int | None = None,
    kind: Kind | None = None,
) -> PromptView:
    """A prompt of a session.

    Args:
        client: to Prefect.
        settings: of this process.
        session_id: of the session.
        index: of the iteration whose last prompt is meant; None: the next one.
        kind: of the call; None: an iteration's (of number 0: planning's), or what comes next.

    Raises:
        NotFound: no call was made there, or its prompt was not kept.
    """
    position = await _position(client, settings, session_id)
    if index is not None:
        return await asyncio.to_thread(_sent, position, index, kind)
    return await _next(position, Stores.of(client, settings, position.id), settings, kind)


async def _position(client: PrefectClient, settings: Settings, session_id: str) -> Position:
    sessions = SessionStore(client, settings)
    flow_run = await sessions.read_flow_run("session", session_id, RESEARCH_LOOP)
    return Position(client, spec_of(flow_run), await sessions.record(session_id))


def _sent(position: Position, index: int, kind: Kind | None) -> PromptView:
    wanted = kind or ("iteration" if index else "planning")
    calls = [it for it in position.record.iterations if (it.index, it.kind) == (index, wanted)]
    if not calls:
        raise NotFound(f"{wanted} of session '{position.id}'", str(index))
    prompt = prompt_of(calls[-1])
    if prompt is None:
        raise NotFound(f"kept prompt of session '{position.id}'", calls[-1].label)
    return PromptView(
        session_id=position.id,
        label=calls[-1].label,
        is_sent=True,
        prompt=prompt,
        tokens=calls[-1].prompt_tokens or tokens_by_part(prompt),
        repeated=calls[-1].prompt_repeated,
    )


async def _next(
    position: Position, stores: Stores, settings: Settings, kind: Kind | None
) -> PromptView:
    record, workdir = position.record, position.workdir
    gates = due_gates(position)
    if kind is None:
        kind = "planning" if not record.planned else "iteration"
        kind = "reflection" if record.planned and (record.done or gates) else kind
    index, turn = record.last_index, 1
    if kind == "iteration":
        index, turn = next_call(record, position.spec.max_calls_per_iteration)
    library = SkillLibrary(shipped_skills_path(), project_skills_path(workdir))
    project = load_project(workdir) if workdir.is_dir() else None
    sources = PromptSources(position, stores, library, project, settings.server_url)
    steers = [text for _, text, _ in await stores.sessions.said.steers(position.id)]
    context, _ = await prompt_context(sources, kind, index, steers, turn, is_sent=False)
    context.gate_section = gate_section(position, gates) if kind == "reflection" else ""
    prompt = render_prompt(library, SKILLS[kind], context)
    before = next((it for it in reversed(record.iterations) if it.kind == kind), None)
    last = await asyncio.to_thread(prompt_of, before) if before is not None else None
    call = IterationRecord(index=index, turn=turn, kind=kind, started_at=0.0)
    return PromptView(
        session_id=position.id,
        label=call.label,
        is_sent=False,
        prompt=prompt,
        tokens=tokens_by_part(prompt),
        repeated=None if last is None else round(repeated_share(last, prompt), 3),
    )
