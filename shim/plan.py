"""What one `wildloop up` starts, and the environment that it gives to each part."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wildloop.blocks.interpreter import part_command
from wildloop.blocks.proof import KEY_VARIABLE, PREFECT_VARIABLE, new_key
from wildloop.blocks.proxies import around_proxies
from wildloop.flows.prefect_inside.block_types import SETTING
from wildloop.flows.settings import HOME_VARIABLE, SERVER_URL_VARIABLE, TOKEN_VARIABLE
from wildloop.shim.database import DatabaseKind
from wildloop.shim.retention import retention

# Of an `up` around this one, whose child has started it.
SUPERVISOR = "WILDLOOP_SUPERVISOR"
LOOPBACK = "127.0.0.1"
FEWER_QUERIES = {
    # Each look asks once for every flow run that was cancelled within a day; ours end their own
    # tasks and children, so that it finds those of a crash only.
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "60",
    # Each of these looks every 5 s by itself, as long as nothing happens too. Pauses of ours do not
    # expire, and every `ready` run is a paused one, which the look reads with all it has.
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "60",
    # That a flow run is late is shown, no more; and each that waits in a queue for more than so
    # long changes its state for it, which costs a seventh of what the run does.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "30",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "21600",
    # Workers take what is due at once; this is of schedules that were changed a moment ago.
    "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "15",
    # Flow runs that a worker of the other kind, with a channel, has left to be ended.
    "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "30",
    # Triggers that wait for events to fail to come; none of those that are shipped does.
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT20S",
    # Prefect's statements are more than the 100 that a connection keeps by default.
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_PREPARED_STATEMENT_CACHE_SIZE": "500",
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_CONNECT_ARGS_STATEMENT_CACHE_SIZE": "500",
}
SHARED_LIMITS = {
    # Kept in memory, leases would be gone after a restart, and their slots counted for ever.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # Who waits for a slot asks for it as often, instead of up to every 39 s.
    "PREFECT_SERVER_CONCURRENCY_MAXIMUM_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
    "PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
}
PREFECT_PORT = 4200
UI_URL = "PREFECT_UI_URL"


@dataclass(frozen=True)
class Plan:
    """What one `up` starts, all checked. `database` None: the server of PREFECT_API_URL is used."""

    home: Path
    host: str
    port: int
    workdir: Path
    token: str
    slots: int | None = None
    compute: str = "auto"
    database: DatabaseKind | None = None
    prefect_port: int = PREFECT_PORT
    key: str = field(default_factory=new_key, repr=False)
    worker: Sequence[str] = field(
        default_factory=lambda: part_command("wildloop.flows.worker.main")
    )
    api: Sequence[str] = field(default_factory=lambda: part_command("wildloop.shim.main"))

    @property
    def server_url(self) -> str:
        """Where this machine reaches the API."""
        shown = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.host, self.host)
        return f"http://{bracketed(shown)}:{self.port}"

    @property
    def prefect_api_url(self) -> str:
        """The Prefect API that worker and shim talk to."""
        if self.database is None:
            return os.environ["PREFECT_API_URL"]
        return f"http://{LOOPBACK}:{self.prefect_port}/api"

    def environment(self) -> dict[str, str]:
        """The environment of the children; the token travels here, never on a command line."""
        own = {key: value for key, value in os.environ.items() if not key.startswith(SUPERVISOR)}
        env = own | {
            HOME_VARIABLE: str(self.home),
            SERVER_URL_VARIABLE: self.server_url,
            "WILDLOOP_WORKDIR": str(self.workdir),
            TOKEN_VARIABLE: self.token,
        }
        env |= around_proxies(env)
        if self.database is None:
            return env
        env |= {KEY_VARIABLE: self.key, PREFECT_VARIABLE: "1"}
        # The user's own profile must not lead our processes to another server; where a browser
        # finds this one, links tell.
        public = {key: value for key, value in env.items() if key == UI_URL}
        env = {key: value for key, value in env.items() if not key.startswith("PREFECT_")} | public
        env |= {"PREFECT_API_URL": self.prefect_api_url, "PREFECT_HOME": str(self.home / "prefect")}
        if self.token:
            env["PREFECT_API_AUTH_STRING"] = f"wildloop:{self.token}"
        return env

    def api_environment(self) -> dict[str, str]:
        """The environment of the API, which proves itself also where Prefect is another's."""
        return self.environment() | {KEY_VARIABLE: self.key}

    def server_environment(self, database_url: str | None) -> dict[str, str]:
        """The environment of the embedded Prefect server."""
        # PGPORT and the like would lead the driver to another PostgreSQL.
        env = {key: value for key, value in self.environment().items() if key[:2] != "PG"}
        env |= {
            "PREFECT_SERVER_API_HOST": LOOPBACK,
            "PREFECT_SERVER_API_PORT": str(self.prefect_port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
            **FEWER_QUERIES,
            **SHARED_LIMITS,
        }
        env |= retention()
        if SETTING in os.environ:
            env[SETTING] = os.environ[SETTING]
        if self.token:
            env["PREFECT_SERVER_API_AUTH_STRING"] = env["PREFECT_API_AUTH_STRING"]
        if database_url is not None:
            env["PREFECT_API_DATABASE_CONNECTION_URL"] = database_url
        return env

    @property
    def record(self) -> Path:
        """Where the children are written down."""
        return self.home / "run" / "children.json"

    @property
    def worker_ready_file(self) -> Path:
        """Written by the worker once it is up, with what a person should know of it."""
        return self.home / "run" / f"worker-ready-{os.getpid()}"

    def log(self, name: str) -> Path:
        """The log of a child."""
        return self.home / "logs" / f"{name}.log"


def bracketed(host: str) -> str:
    """The host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host
