"""The HTTP API, as this agent uses it: with bounded retries, and nothing created twice."""

import time
from typing import Any

import httpx
from pydantic import BaseModel, Field, TypeAdapter

TRIES = 6
FIRST_PAUSE_S = 0.5
RETRIED = frozenset({429, 500, 502, 503, 504})
PAGE = 1000
ENDED = frozenset({"finished", "failed", "stopped"})


class ApiError(Exception):
    """The API refused or does not answer."""


class RunView(BaseModel):
    """What this agent reads of a run."""

    id: str
    name: str
    status: str
    sweep_id: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    created_at: float = 0.0
    exit_code: int | None = None
    error: str | None = None
    metrics: dict[str, float] = Field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether it has its outcome."""
        return self.status in ENDED


class SweepView(BaseModel):
    """What this agent reads of a sweep."""

    id: str
    name: str
    chat_session_id: str | None = None


class Api:
    """A client for one session."""

    def __init__(self, server_url: str, token: str | None, session_id: str) -> None:
        headers = {"X-Auth-Token": token} if token else {}
        self._http = httpx.Client(base_url=server_url, headers=headers, timeout=30)
        self._session_id = session_id

    def get(self, path: str, **params: Any) -> Any:
        """GET, as JSON."""
        return self._call("GET", path, params=params)

    def runs(self) -> list[RunView]:
        """Every run of the session, oldest first."""
        found: list[RunView] = []
        while True:
            page = TypeAdapter(list[RunView]).validate_python(
                self.get("/runs", chat_session_id=self._session_id, limit=PAGE, offset=len(found))
            )
            found += page
            if len(page) < PAGE:
                return sorted(found, key=lambda run: run.created_at)

    def sweep(self, name: str, goal: str) -> str:
        """The id of this session's sweep `name`, created if it is not there."""
        known = TypeAdapter(list[SweepView]).validate_python(self.get("/sweeps", limit=200))
        for sweep in known:
            if sweep.name == name and sweep.chat_session_id == self._session_id:
                return sweep.id
        body = {"name": name, "goal": goal, "chat_session_id": self._session_id}
        return SweepView.model_validate(self._call("POST", "/sweeps/wild", json=body)).id

    def create_run(self, **body: Any) -> RunView:
        """Create a queued run; after a lost answer, look for it by name before trying again."""

        def created() -> RunView | None:
            return next((run for run in self.runs() if run.name == body["name"]), None)

        full = {"chat_session_id": self._session_id, "auto_start": True, **body}
        pause = FIRST_PAUSE_S
        for attempt in range(TRIES):
            if attempt:
                time.sleep(pause)
                pause *= 2
                if (run := created()) is not None:
                    return run
            try:
                response = self._http.post("/runs", json=full)
            except httpx.TransportError as error:
                last = str(error)
                continue
            if response.status_code not in RETRIED:
                return RunView.model_validate(_checked(response))
            last = f"{response.status_code}"
        raise ApiError(f"POST /runs failed {TRIES} times: {last}")

    def _call(self, method: str, path: str, **options: Any) -> Any:
        pause, last = FIRST_PAUSE_S, ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(pause)
                pause *= 2
            try:
                response = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                last = repr(error)
                continue
            if response.status_code not in RETRIED:
                return _checked(response)
            last = f"{response.status_code}"
        raise ApiError(f"{method} {path} failed {TRIES} times: {last}")


def _checked(response: httpx.Response) -> Any:
    if response.is_error:
        raise ApiError(
            f"{response.request.method} {response.request.url.path} answered "
            f"{response.status_code}: {response.text[:500]}"
        )
    return response.json()
