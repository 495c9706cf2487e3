"""The HTTP API, as this agent uses it: with bounded retries, and nothing created twice.

A server that is away is waited for much longer than one that answers with errors.
"""

import time
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from wildloop.blocks.proxies import transport_to

TRIES = 5
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
AWAY_S = 3600.0
AWAY = 503
NOT_FOUND = 404
RETRIED = frozenset({429, 500, 502, 503, 504})
PAGE = 1000
EARLIER_PAGES = 5
SHOWN = 500
ENDED = frozenset({"finished", "failed", "stopped"})

Found = TypeVar("Found")


class ApiError(Exception):
    """The API refused, does not answer, or answers with something else."""


class NotThere(ApiError):
    """The API knows no such thing."""


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
    metrics: dict[str, float | None] = Field(default_factory=dict)
    unmeasured: str = ""
    chat_session_id: str | None = None
    workdir: str = ""
    code: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it has its outcome."""
        return self.status in ENDED


class SweepView(BaseModel):
    """What this agent reads of a sweep."""

    id: str
    name: str
    chat_session_id: str | None = None


class ClusterView(BaseModel):
    """What this agent reads of the compute."""

    label: str
    slots: int
    held: int


class SessionView(BaseModel):
    """What this agent reads of its session."""

    goal: str


class AblationRowView(BaseModel):
    """What this agent reads of a row of its ablation."""

    text: str


class AblationView(BaseModel):
    """What this agent reads of its ablation."""

    rows: list[AblationRowView]


class ComparisonView(BaseModel):
    """What this agent reads of a comparison with the baseline."""

    established: bool = False
    p: float | None = None


class RunNoteView(BaseModel):
    """What this agent reads of a configuration's run."""

    run_id: str


class ComparedView(BaseModel):
    """What this agent reads of a configuration."""

    id: str
    runs: list[RunNoteView]
    comparison: ComparisonView | None = None


class EvidenceView(BaseModel):
    """What this agent reads of the account of its session: the verdicts are not its own."""

    baseline: str | None = None
    best: str | None = None
    configurations: list[ComparedView] = Field(default_factory=list)

    headline: str = "nothing is known yet"
    target_text: str | None = None
    findings: list[str] = Field(default_factory=list)
    ablation: AblationView | None = None


class TrialView(BaseModel):
    """What this agent reads of a trial."""

    run_id: str | None = None
    parameters: dict[str, Any]


class EvoSweepState(BaseModel):
    """The part of an evolutionary sweep that holds its trials."""

    trials: list[TrialView] = Field(default_factory=list)


class EvoSweepView(BaseModel):
    """What this agent reads of an evolutionary sweep."""

    name: str
    status: str
    reason: str = ""
    state: EvoSweepState

    @property
    def trials(self) -> list[TrialView]:
        """Its trials, in the order they were asked for."""
        return self.state.trials

    @property
    def ended(self) -> bool:
        """Whether it asks for no further trial."""
        return self.status != "running"


class Api:
    """A client for one session."""

    def __init__(self, server_url: str, token: str | None, session_id: str) -> None:
        headers = {"X-Auth-Token": token} if token else {}
        self._http = httpx.Client(
            base_url=server_url.rstrip("/"),
            headers=headers,
            timeout=30,
            transport=transport_to(server_url, ours=True),
        )
        self._session_id = session_id

    def probe(self, path: str) -> None:
        """GET `path` for its being there.

        Raises:
            ApiError: it does not answer, or not with 200.
        """
        self._call("GET", path)

    def goal(self) -> str:
        """The session's goal, in the user's words."""
        answer = self._call("GET", "/wild/v2/status", params={"chat_session_id": self._session_id})
        return _read(TypeAdapter(SessionView), answer).goal

    def cluster(self) -> ClusterView:
        """The compute and its slots."""
        answer = self._call("GET", "/cluster")
        try:
            body, capacity = answer.json(), answer.json()["capacity"]
            label = body["cluster"].get("label") or body["cluster"]["type"]
            return ClusterView(label=label, slots=capacity["g"], held=capacity["r"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ApiError(f"GET /cluster answered without {error}") from error

    def runs(self) -> list[RunView]:
        """Every run of the session, oldest first."""
        found = self._select(None, chat_session_id=self._session_id)
        return sorted(found, key=lambda run: run.created_at)

    def earlier_runs(self) -> list[RunView]:
        """The last finished runs of other sessions, newest first."""
        found = self._select(EARLIER_PAGES, status="finished")
        return [run for run in found if run.chat_session_id not in (self._session_id, None)]

    def _select(self, most_pages: int | None, **wanted: str) -> list[RunView]:
        """The runs that match, newest first; of the newest pages where there are more."""
        found: dict[str, RunView] = {}
        for number in count():
            if number == most_pages:
                break
            params = {**wanted, "limit": PAGE, "offset": number * PAGE}
            page = _read(TypeAdapter(list[RunView]), self._call("GET", "/runs", params=params))
            # A run created between two pages shifts the second: the last of the first comes again.
            found |= {run.id: run for run in page}
            if len(page) < PAGE:
                break
        return list(found.values())

    def evidence(self) -> EvidenceView:
        """The account of the session."""
        answer = self._call("GET", f"/wild/v2/evidence/{self._session_id}")
        return _read(TypeAdapter(EvidenceView), answer)

    def sweep(self, name: str, goal: str) -> str:
        """The id of this session's sweep `name`, created if it is not there."""

        def known() -> SweepView | None:
            answer = self._call("GET", "/sweeps", params={"limit": PAGE})
            sweeps = _read(TypeAdapter(list[SweepView]), answer)
            mine = (one for one in sweeps if one.chat_session_id == self._session_id)
            return next((one for one in mine if one.name == name), None)

        body = {"name": name, "goal": goal, "chat_session_id": self._session_id}
        found = known()
        return (found or self._create("/sweeps/wild", body, TypeAdapter(SweepView), known)).id

    def evo_sweep(self, name: str) -> EvoSweepView | None:
        """The session's evolutionary sweep, if its last one has this name."""
        path = f"/wild/v2/evo-sweep/{self._session_id}"
        try:
            found = _read(TypeAdapter(EvoSweepView), self._call("GET", path))
        except NotThere:
            return None
        return found if found.name == name else None

    def create_run(self, **body: Any) -> RunView:
        """Create a queued run; after a lost answer, look for it by name before trying again."""

        def known() -> RunView | None:
            return next((run for run in self.runs() if run.name == body["name"]), None)

        full = {"chat_session_id": self._session_id, "auto_start": True, **body}
        return self._create("/runs", full, TypeAdapter(RunView), known)

    def _create(
        self,
        path: str,
        body: dict[str, Any],
        shape: TypeAdapter[Found],
        known: Callable[[], Found | None],
    ) -> Found:
        """POST; before every further try look whether the one before has been carried out."""
        attempt = _Attempt(f"POST {path}")
        while True:
            if attempt.pause() and (found := known()) is not None:
                return found
            response = attempt.take(lambda: self._http.post(path, json=body))
            if response is not None:
                return _read(shape, response)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        attempt = _Attempt(f"{method} {path}")
        while True:
            attempt.pause()
            response = attempt.take(lambda: self._http.request(method, path, **options))
            if response is not None:
                return response


class _Attempt:
    """Tries of one request: growing pauses between them, and an end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._tries = 0
        self._began = time.monotonic()
        self._wanted_pause = 0.0

    def pause(self) -> bool:
        """Wait before a further try; False before the first."""
        if self._tries == 0:
            return False
        pause = FIRST_PAUSE_S * 2 ** min(self._tries - 1, TRIES)
        time.sleep(min(LONGEST_PAUSE_S, max(pause, self._wanted_pause)))
        return True

    def take(self, send: Callable[[], httpx.Response]) -> httpx.Response | None:
        """The answer; None if it is worth another try.

        Raises:
            ApiError: the request was refused, or this was the last try.
        """
        self._tries += 1
        try:
            response = send()
        except httpx.TransportError as error:
            fault, is_away = f"no answer ({type(error).__name__}: {error})", True
        except httpx.InvalidURL as error:
            raise ApiError(f"{self._what}: WILDLOOP_SERVER_URL is no URL: {error}") from error
        else:
            if not response.is_error:
                return response
            is_away = response.status_code == AWAY
            fault = f"answered {response.status_code}: {response.text[:SHOWN]}"
            if response.status_code == NOT_FOUND:
                raise NotThere(f"{self._what} {fault}")
            if response.status_code not in RETRIED:
                raise ApiError(f"{self._what} {fault}")
            wanted = response.headers.get("Retry-After", "")
            self._wanted_pause = float(wanted) if wanted.isdigit() else 0.0
        lasted = time.monotonic() - self._began
        if lasted > AWAY_S or (self._tries >= TRIES and not is_away):
            raise ApiError(f"{self._what} failed {self._tries} times in {lasted:.0f} s: {fault}")
        return None


def _read(shape: TypeAdapter[Found], response: httpx.Response) -> Found:
    try:
        return shape.validate_json(response.content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        request = response.request
        raise ApiError(
            f"{request.method} {request.url.path} answered in another shape: {place} {first['msg']}"
        ) from error
