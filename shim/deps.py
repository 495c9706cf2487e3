"""What routers are given: the stores, built on the app's one Prefect client.

All are coroutines: what is not, is called in a thread of its own, a dozen of them for a request.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Header, Request
from prefect.client.orchestration import PrefectClient

from wildloop.flows.prompt.sections import PromptContext
from wildloop.flows.settings import Settings
from wildloop.flows.skills import SkillEditor, SkillInstaller, SkillLibrary, shipped_skills_path
from wildloop.flows.skills.library import project_skills_path
from wildloop.flows.store.alerts import AlertStore
from wildloop.flows.store.budget import BudgetGate
from wildloop.flows.store.burst import Burst
from wildloop.flows.store.cluster import ClusterStore
from wildloop.flows.store.evo import EvoSweepStore
from wildloop.flows.store.memories import MemoryStore
from wildloop.flows.store.owners import KnownSessions
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.seen import Seen
from wildloop.flows.store.sessions import SessionStore
from wildloop.flows.store.sweeps import SweepStore
from wildloop.flows.store.waits import Waits
from wildloop.shim.auth import agent_name, agent_session
from wildloop.shim.disk import DiskNotes
from wildloop.shim.metrics import MetricsReader
from wildloop.shim.readiness import Readiness


async def get_settings(request: Request) -> Settings:
    """The settings of this process."""
    settings: Settings = request.app.state.settings
    return settings


async def get_prefect(request: Request) -> PrefectClient:
    """The app's Prefect client."""
    client: PrefectClient = request.app.state.client
    return client


WithSettings = Annotated[Settings, Depends(get_settings)]
WithPrefect = Annotated[PrefectClient, Depends(get_prefect)]


async def get_readiness(request: Request) -> Readiness:
    """What the app knows of whether a run would be taken."""
    readiness: Readiness = request.app.state.readiness
    return readiness


WithReadiness = Annotated[Readiness, Depends(get_readiness)]


async def get_deployment_ids(request: Request) -> dict[str, UUID]:
    """The deployments that this process has looked up."""
    found: dict[str, UUID] = request.app.state.deployment_ids
    return found


WithDeployments = Annotated[dict[str, UUID], Depends(get_deployment_ids)]


async def get_budgets(request: Request) -> BudgetGate:
    """What runs pass that a session's budget bounds."""
    gate: BudgetGate = request.app.state.budgets
    return gate


async def get_seen(request: Request) -> Seen:
    """The live picture, as this request sees it."""
    if not hasattr(request.state, "seen"):
        request.state.seen = Seen(request.app.state.picture)
    seen: Seen = request.state.seen
    return seen


WithSeen = Annotated[Seen, Depends(get_seen)]


async def get_known(request: Request, seen: WithSeen) -> KnownSessions:
    """The sessions that this request looks up, and what the app knows of their graphs."""
    return KnownSessions(request.app.state.anchors, seen.session)


WithKnown = Annotated[KnownSessions, Depends(get_known)]
WithBudgets = Annotated[BudgetGate, Depends(get_budgets)]


async def get_agent(request: Request) -> str | None:
    """The session whose agent asks; None: the user does."""
    return agent_session(request.scope)


WithAgent = Annotated[str | None, Depends(get_agent)]


async def get_maker(request: Request) -> str | None:
    """Whom it belongs to what an agent makes: its session, or a researcher of that."""
    return agent_name(request.scope)


WithMaker = Annotated[str | None, Depends(get_maker)]


async def get_runs(
    request: Request,
    client: WithPrefect,
    settings: WithSettings,
    known: WithDeployments,
    gate: WithBudgets,
    agent: WithMaker,
    sessions: WithKnown,
    seen: WithSeen,
) -> RunStore:
    """The runs."""
    burst: Burst = request.app.state.burst
    return RunStore(client, settings, known, gate, agent, known=sessions, seen=seen, burst=burst)


async def get_metrics_reader(request: Request) -> MetricsReader:
    """The app's readers of metric files."""
    reader: MetricsReader = request.app.state.metrics_reader
    return reader


async def get_disk_notes(request: Request) -> DiskNotes:
    """What the app knows of the disks."""
    notes: DiskNotes = request.app.state.disk_notes
    return notes


async def get_waits(client: WithPrefect, settings: WithSettings, seen: WithSeen) -> Waits:
    """Why queued runs wait."""
    return Waits(client, settings, seen)


WithWaits = Annotated[Waits, Depends(get_waits)]
WithDisks = Annotated[DiskNotes, Depends(get_disk_notes)]
WithMetrics = Annotated[MetricsReader, Depends(get_metrics_reader)]


async def get_sweeps(
    client: WithPrefect,
    settings: WithSettings,
    seen: WithSeen,
    gate: WithBudgets,
    agent: WithMaker,
    sessions: WithKnown,
) -> SweepStore:
    """The sweeps."""
    return SweepStore(client, settings, seen, gate, agent, known=sessions)


async def get_sessions(
    request: Request,
    client: WithPrefect,
    settings: WithSettings,
    known: WithDeployments,
    seen: WithSeen,
) -> SessionStore:
    """The sessions."""
    return SessionStore(client, settings, known, seen, request.app.state.sessions)


async def get_evo_sweeps(
    client: WithPrefect, settings: WithSettings, known: WithDeployments
) -> EvoSweepStore:
    """The evolutionary sweeps."""
    return EvoSweepStore(client, settings, known)


async def get_alerts(
    client: WithPrefect, settings: WithSettings, gate: WithBudgets, agent: WithAgent
) -> AlertStore:
    """The alerts."""
    return AlertStore(client, settings, gate, agent)


async def get_cluster(client: WithPrefect, settings: WithSettings, seen: WithSeen) -> ClusterStore:
    """The cluster."""
    return ClusterStore(client, settings, seen)


async def get_skills(settings: WithSettings) -> SkillLibrary:
    """The skills, the project's own first."""
    return SkillLibrary(shipped_skills_path(), project_skills_path(settings.workdir))


async def get_editor(settings: WithSettings) -> SkillEditor:
    """Changes to the project's skills."""
    root = project_skills_path(settings.workdir)
    return SkillEditor(await get_skills(settings), root, PromptContext.model_fields)


async def get_installer(settings: WithSettings) -> SkillInstaller:
    """Skills from elsewhere, if the settings allow them."""
    return SkillInstaller(await get_editor(settings), allowed=settings.allow_skill_install)


async def get_memories(client: WithPrefect, settings: WithSettings) -> MemoryStore:
    """The memories."""
    return MemoryStore(client, settings)


Runs = Annotated[RunStore, Depends(get_runs)]
Sweeps = Annotated[SweepStore, Depends(get_sweeps)]
Sessions = Annotated[SessionStore, Depends(get_sessions)]
EvoSweeps = Annotated[EvoSweepStore, Depends(get_evo_sweeps)]
Alerts = Annotated[AlertStore, Depends(get_alerts)]
ClusterAccess = Annotated[ClusterStore, Depends(get_cluster)]
Skills = Annotated[SkillLibrary, Depends(get_skills)]
Editor = Annotated[SkillEditor, Depends(get_editor)]
Installer = Annotated[SkillInstaller, Depends(get_installer)]
Memories = Annotated[MemoryStore, Depends(get_memories)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="Your own name of this request: sent again with it, it creates nothing anew.",
    ),
]
