"""What a prompt is rendered from: every template variable, read fresh."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from wildloop.blocks.proxies import async_transport_to
from wildloop.flows.errors import Unavailable
from wildloop.flows.models.alert import AlertStatus
from wildloop.flows.models.evo_sweep import EvoSweepRecord
from wildloop.flows.models.spending import Spending
from wildloop.flows.project import ProjectConfig
from wildloop.flows.prompt.catalog import api_catalog
from wildloop.flows.prompt.kind import SKILLS, Kind
from wildloop.flows.prompt.making_runs import AUTH_HEADER
from wildloop.flows.prompt.page import page_sections
from wildloop.flows.prompt.sections import (
    WAKE_TEXTS,
    PromptContext,
    alerts_section,
    budget_section,
    cluster_state,
    faults_section,
    last_faults,
    memories_section,
    render_prompt,
    steer_section,
    struggle_section,
    user_availability,
)
from wildloop.flows.prompt.state import PromptState
from wildloop.flows.prompt.tokens import token_count
from wildloop.flows.prompt.untold import untold
from wildloop.flows.protocol.plan_bounds import PlanBounds, plan_rules
from wildloop.flows.search.summary import evo_sweep_section
from wildloop.flows.session.evidence import account_for, contract_for
from wildloop.flows.session.position import Position
from wildloop.flows.skills import SkillLibrary
from wildloop.flows.spending import spending
from wildloop.flows.store.own_runs import own_runs
from wildloop.flows.store.stores import Stores
from wildloop.flows.store.sweeps import sweep_texts
from wildloop.flows.struggle.failures import failure_logs
from wildloop.flows.struggle.struggle import History, struggle_signs

API_PATIENCE_S = 300.0
# An iteration begins by reading its runs; its prompt tells of these, if it follows at once.
JUST_READ_SECONDS = 2.0


@dataclass(frozen=True)
class PromptSources:
    """Where the prompts of a session take what they say from."""

    position: Position
    stores: Stores
    library: SkillLibrary
    project: ProjectConfig | None
    server_url: str


async def prompt_context(
    sources: PromptSources,
    kind: Kind,
    index: int,
    steers: list[str],
    turn: int = 1,
    is_sent: bool = True,
    faults: Sequence[str] = (),
) -> tuple[PromptContext, list[str]]:
    """All template variables, read fresh, and the ids of the ended runs that they tell of.

    Args:
        sources: where they are taken from.
        kind: of the call.
        index: number of the iteration.
        steers: what the user has said since the last call.
        turn: of the call within the iteration.
        is_sent: whether an agent will read it; else only a person does, and no use is counted.
        faults: what it is told beside those of the last call.
    """
    position, stores = sources.position, sources.stores
    spec, record, paths = position.spec, position.record, position.paths
    just_read = JUST_READ_SECONDS if kind == "iteration" else 0.0
    recall = stores.memories.for_prompt if is_sent else stores.memories.recent
    (capacity, cluster, recalled), (runs, own, sweep, alerts) = await asyncio.gather(
        asyncio.gather(
            stores.cluster.capacity(), stores.cluster.cluster(), recall(position.workdir)
        ),
        asyncio.gather(
            stores.runs.all(chat_session_id=position.id, max_age_s=just_read),
            own_runs(stores.runs, position.id, record.contract),
            _sweep(sources),
            stores.alerts.select(AlertStatus.OPEN, position.id),
        ),
    )
    memories = [memory.line for memory in recalled]
    used = spending(position.whole, runs)
    texts = await sweep_texts(position.client, runs) if kind == "reflection" else {}
    account = account_for(position, sources.project, runs, texts, own)
    state = PromptState(
        kind=kind,
        index=index,
        turn=turn,
        spec=spec,
        record=position.told,
        plan=position.plan(),
        account=account,
        fixed=contract_for(position, sources.project),
        runs=runs,
        used=used,
        project=sources.project,
        slots=capacity.g,
        free=max(0, capacity.g - capacity.r - capacity.q),
        memories=memories,
        logs=await asyncio.to_thread(failure_logs, runs),
        researcher=position.researcher,
        claimed=position.task,
        beside=position.beside,
    )
    template = sources.library.get(SKILLS[kind]).template
    bare = PromptContext(evo_sweep_enabled=spec.evo_sweep_enabled, tasks_path=str(paths.tasks))
    fixed = token_count(render_prompt(sources.library, SKILLS[kind], bare))
    parts = page_sections(state, sweep, fixed)
    told = [*faults, *last_faults(record)]
    context = PromptContext(
        **parts,
        task_title=_task_title(state),
        plan_rules=plan_rules(PlanBounds.of(spec)),
        goal=spec.goal,
        workdir=str(position.workdir),
        iteration=index,
        max_iterations=spec.max_iterations,
        tasks_path=str(paths.tasks),
        log_path=str(paths.log),
        playbook_path=str(paths.playbook),
        server_url=sources.server_url,
        session_id=position.called,
        steer_section=_steer_text(sources, steers),
        faults_section=faults_section(told),
        struggle_section=struggle_section(
            struggle_signs(record.iterations, History.of(account), told=told)
        ),
        alerts_section=alerts_section(
            alerts, {run.id: run.name for run in runs}, spec.autonomy_level, sources.server_url
        ),
        api_catalog=await _catalog(sources.server_url) if "api_catalog" in template else "",
        auth_header=AUTH_HEADER,
        memories=memories_section(memories),
        evo_sweep_section=evo_sweep_section(spec.evo_sweep_enabled, sweep),
        evo_sweep_enabled=spec.evo_sweep_enabled,
        keep_section=parts["believed_section"],
        plan=position.plan_text(),
        summary_of_work="\n".join(
            f"- {it.label}: {it.summary}" for it in record.iterations if it.summary
        ),
        user_availability=user_availability(spec.away_duration_minutes, spec.autonomy_level),
        autonomy_level=spec.autonomy_level,
        wake_text=WAKE_TEXTS[spec.wake],
        cluster_state=cluster_state(
            g=capacity.g,
            r=capacity.r,
            q=capacity.q,
            max_new_runs=capacity.max_new_runs,
            label=cluster.label,
        ),
        budget_section=budget_text(position, used),
    )
    heard = untold(record.iterations, [run for run in runs if position.owns(run)])
    return context, [run.id for run in heard]


async def _sweep(sources: PromptSources) -> EvoSweepRecord | None:
    """The session's sweep; None where it has had none, or may have none."""
    position = sources.position
    return await sources.stores.evo.find(position.id) if position.spec.evo_sweep_enabled else None


def budget_text(position: Position, used: Spending) -> str:
    """What is used of the budget, and that the session is at its end, if it is."""
    text = budget_section(
        position.spec.budget,
        hours_used=used.hours,
        cost_used=used.cost_usd,
        gpu_hours_used=used.gpu_hours,
        runs_used=used.runs,
    )
    closing = position.record.closing
    if closing is None:
        return text
    return (
        f"{text}\n\nThis session is at its end ({closing.reason}). This is its last "
        "call: create no run, plan nothing new, weigh what there is and keep the lessons."
    )


def _task_title(state: PromptState) -> str:
    """What stands behind the number of the iteration: `: do P3-T1`."""
    return f": do {state.task.id}" if state.task is not None and state.task.id else ""


def _steer_text(sources: PromptSources, steers: list[str]) -> str:
    """What the user says, with the skill that tells how to take it up; empty without a steer."""
    if not steers:
        return ""
    context = PromptContext(
        goal=sources.position.spec.goal,
        tasks_path=str(sources.position.paths.tasks),
        steer_section=steer_section(steers),
    )
    return render_prompt(sources.library, "wild_v2_steer", context)


async def _catalog(server_url: str) -> str:
    """The API in short. The API may be restarting: it is given some minutes to come back."""
    url = f"{server_url}/openapi.json"
    deadline, pause = datetime.now(UTC).timestamp() + API_PATIENCE_S, 0.5
    async with httpx.AsyncClient(timeout=10, transport=async_transport_to(url, ours=True)) as http:
        while True:
            try:
                response = await http.get(url)
                response.raise_for_status()
                return api_catalog(response.json(), AUTH_HEADER)
            except httpx.HTTPError as error:
                if datetime.now(UTC).timestamp() > deadline:
                    raise Unavailable(
                        f"the Wildloop API at {server_url} does not answer: {error}"
                    ) from error
            await asyncio.sleep(pause)
            pause = min(10.0, pause * 2)
