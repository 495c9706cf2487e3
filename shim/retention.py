"""How long the embedded Prefect server keeps what nobody asks for later."""

import os

DAY_SECONDS = 86400
# Flow runs are not among what it deletes: it would take the runs of a session that stays, one by
# one, by their own age. `wildloop prune` takes sessions as a whole.
RETENTION = {
    "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P7D",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_EVENT_RETENTION_OVERRIDES": (
        f'{{"prefect.flow-run.heartbeat": {DAY_SECONDS}}}'
    ),
}


def retention() -> dict[str, str]:
    """The settings, each as the user's own environment has it, else as it suits Wildloop."""
    return {name: os.environ.get(name, value) for name, value in RETENTION.items()}
