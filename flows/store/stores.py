"""The stores that the steps of a session use, built once."""

from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import PrefectClient

from wildloop.flows.settings import Settings
from wildloop.flows.store.alerts import AlertStore
from wildloop.flows.store.budget import BudgetGate
from wildloop.flows.store.cluster import ClusterStore
from wildloop.flows.store.evo import EvoSweepStore
from wildloop.flows.store.memories import MemoryStore
from wildloop.flows.store.owners import KnownSessions
from wildloop.flows.store.recent import Recent
from wildloop.flows.store.run_index import RunIndex
from wildloop.flows.store.runs import RunStore
from wildloop.flows.store.sessions import SessionStore
from wildloop.flows.store.sweeps import SweepStore

# Hosts and limits change a few times a night; a prompt tells of them.
COMPUTE_SECONDS = 10.0


@dataclass(frozen=True)
class Stores:
    """One store for each resource, for the steps of one session."""

    runs: RunStore
    sweeps: SweepStore
    sessions: SessionStore
    cluster: ClusterStore
    memories: MemoryStore
    evo: EvoSweepStore
    alerts: AlertStore

    @classmethod
    def of(cls, client: PrefectClient, settings: Settings, session_id: str) -> "Stores":
        """The stores of a session, which share what they have looked up."""
        known: dict[str, UUID] = {}
        sessions = KnownSessions()
        index = RunIndex(session_id)
        gate = BudgetGate(index)
        return cls(
            runs=RunStore(client, settings, known, gate, index=index, known=sessions),
            sweeps=SweepStore(client, settings, gate=gate, known=sessions),
            sessions=SessionStore(client, settings, known),
            cluster=ClusterStore(client, settings, recent=Recent(COMPUTE_SECONDS)),
            memories=MemoryStore(client, settings),
            evo=EvoSweepStore(client, settings, known),
            alerts=AlertStore(client, settings, gate),
        )
