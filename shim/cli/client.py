"""A small typed client of the HTTP API, for the command line."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter

from flows.models.run import LogChunk, Run
from flows.models.session import Session, SessionActivity
from flows.models.session_options import SessionStart
from flows.settings import SERVER_URL_VARIABLE, Settings, wildloop_home

M = TypeVar("M", bound=BaseModel)
TIMEOUT_S = 60.0


class ClientError(Exception):
    """The API refused or does not answer; the text is for the user."""


class UpNote(BaseModel):
    """What a running `wildloop up` has left for us."""

    pid: int
    server_url: str
    prefect_api_url: str
    prefect_ui_url: str


def read_up_note() -> UpNote | None:
    """The note of the `up` that runs on this WILDLOOP_HOME; None if none does."""
    try:
        text = (wildloop_home() / "run" / "up.json").read_text(encoding="utf-8")
        note = UpNote.model_validate_json(text)
        os.kill(note.pid, 0)
        return note
    except (OSError, ValueError):
        return None


class ApiClient:
    """Talks to the server that WILDLOOP_SERVER_URL or a running `up` names."""

    def __init__(self, url: str | None = None) -> None:
        settings, note = Settings.from_environment(), read_up_note()
        if url is None and not os.environ.get(SERVER_URL_VARIABLE) and note is not None:
            url = note.server_url
        self.url = (url or settings.server_url).rstrip("/")
        headers = {}
        if settings.token is not None:
            headers["X-Auth-Token"] = settings.token.get_secret_value()
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request and return the JSON answer.

        Raises:
            ClientError: no answer, or an error answer.
        """
        response = self._answer(method, path, **options)
        return response.json() if response.content else None

    def text(self, path: str, **options: Any) -> str:
        """GET a text; raises as `request` does."""
        return self._answer("GET", path, **options).text

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self.http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ClientError(no_answer(self.url, error)) from error
        if response.is_error:
            raise ClientError(error_text(response))
        return response

    def session(self, session_id: str | None = None) -> Session:
        """The session with this id (or the beginning of it); the active or latest without."""
        params = {"session_id": self.full_id("session", session_id)} if session_id else {}
        return Session.model_validate(self.request("GET", "/wild/v2/status", params=params))

    def sessions(self) -> list[Session]:
        """The latest sessions."""
        return self._many(Session, "/wild/v2/sessions", {})

    def activity(self, session_id: str, offset: int) -> SessionActivity:
        """What the session's agent has done, from byte `offset` on (negative: from the end)."""
        path = f"/wild/v2/activity/{session_id}"
        return SessionActivity.model_validate(self.request("GET", path, params={"offset": offset}))

    def start(self, body: SessionStart) -> Session:
        """Start a session."""
        answer = self.request(
            "POST", "/wild/v2/start", json=body.model_dump(mode="json", exclude_none=True)
        )
        return Session.model_validate(answer)

    def command(self, verb: str, session_id: str | None, **body: Any) -> Session:
        """pause, resume, stop or steer a session."""
        if session_id:
            body["session_id"] = self.full_id("session", session_id)
        return Session.model_validate(self.request("POST", f"/wild/v2/{verb}", json=body))

    def runs(self, **params: Any) -> list[Run]:
        """Runs, newest first."""
        wanted = {key: value for key, value in params.items() if value is not None}
        return self._many(Run, "/runs", wanted)

    def rerun(self, run_id: str, *, exact: bool = False) -> Run:
        """Repeat a run."""
        return Run.model_validate(
            self.request("POST", f"/runs/{run_id}/rerun", json={"exact": exact})
        )

    def stop_run(self, run_id: str) -> Run:
        """Stop a run."""
        return Run.model_validate(self.request("POST", f"/runs/{run_id}/stop"))

    def logs(self, run_id: str, offset: int, limit: int = 65_536) -> LogChunk:
        """A part of a run's log."""
        params = {"offset": offset, "limit": limit}
        return LogChunk.model_validate(self.request("GET", f"/runs/{run_id}/logs", params=params))

    def log(self, run_id: str, offset: int) -> Iterator[str]:
        """A run's log as far as it is written, in parts."""
        while (chunk := self.logs(run_id, offset)).content:
            yield chunk.content
            offset = chunk.next_offset

    def full_id(self, kind: str, prefix: str) -> str:
        """The one id that begins with `prefix`.

        Raises:
            ClientError: none does, or several do.
        """
        if len(prefix) >= 36:
            return prefix
        listing: dict[str, Callable[[], Sequence[str]]] = {
            "session": lambda: [session.session_id for session in self.sessions()],
            "run": lambda: [run.id for run in self.runs(limit=1000)],
        }
        found = [id for id in listing[kind]() if id.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise ClientError(f"no {kind} with an id that begins with '{prefix}'")
        raise ClientError(f"several {kind}s begin with '{prefix}': {', '.join(found[:5])}")

    def _many(self, model: type[M], path: str, params: dict[str, Any]) -> list[M]:
        answer = self.request("GET", path, params=params)
        return TypeAdapter(list[model]).validate_python(answer)  # type: ignore[valid-type]


def no_answer(url: str, error: httpx.HTTPError) -> str:
    """Why there is no answer from `url`, as one line."""
    if isinstance(error, httpx.ConnectError):
        return f"no Wildloop server at {url}: start one with `wildloop up`"
    return f"{url} does not answer: {error!r}"


def error_text(response: httpx.Response) -> str:
    """An error answer as one line."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the server answered {response.status_code}"
    if isinstance(detail, list):
        faults = (f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in detail)
        return "; ".join(faults)
    return detail if isinstance(detail, str) else json.dumps(detail)
