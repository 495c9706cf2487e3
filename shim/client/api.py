"""Every call of the HTTP API that is made from outside it: models in, models out."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar
from uuid import uuid4

import httpx
from pydantic import BaseModel, TypeAdapter

from wildloop.blocks.proxies import transport_to
from wildloop.flows.models.alert import Alert
from wildloop.flows.models.answer import Answer, AnswerList
from wildloop.flows.models.comparison import RunComparison
from wildloop.flows.models.evidence import AccountView
from wildloop.flows.models.run import LogChunk, Run, RunCreate
from wildloop.flows.models.session import History, Session, SessionActivity
from wildloop.flows.models.session_options import SessionStart
from wildloop.flows.models.take import NightView
from wildloop.flows.models.tree import TreeView
from wildloop.flows.settings import SERVER_URL_VARIABLE, Settings
from wildloop.shim.client.errors import ClientError, ServerAway, no_answer, refusal
from wildloop.shim.models import ReportView, RunMetricsView
from wildloop.shim.up_note import read_up_note

M = TypeVar("M", bound=BaseModel)
TIMEOUT_S = 60.0
PAGE = 1000
LOG_PART_BYTES = 1024 * 1024
LONGEST_PAUSE_S = 5.0


def _in_silence(_url: str) -> AbstractContextManager[None]:
    return nullcontext()


class ApiClient:
    """Talks to one server.

    Args:
        url: the server (default: WILDLOOP_SERVER_URL, else that of a running `up`).
        token: its token (default: WILDLOOP_AUTH_TOKEN, else that of WILDLOOP_HOME).
        while_waiting: entered with the URL around each request: says that it is waited for.
        patience_s: how long a request that may be sent twice is sent again while the server is
            away; 0: it fails at once.

    Raises:
        ClientError: the URL is none.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        patience_s: float = 0.0,
        while_waiting: Callable[[str], AbstractContextManager[None]] = _in_silence,
    ) -> None:
        settings, note = Settings.from_environment(), read_up_note()
        if url is None and not os.environ.get(SERVER_URL_VARIABLE) and note is not None:
            url = note.server_url
        self.url = (url or settings.server_url).rstrip("/")
        if token is None and settings.token is not None:
            token = settings.token.get_secret_value()
        headers = {"X-Auth-Token": token} if token else {}
        self.patience_s = patience_s
        self._while_waiting = while_waiting
        try:
            self.http = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=TIMEOUT_S,
                transport=transport_to(self.url, ours=True),
            )
        except httpx.InvalidURL as error:
            raise ClientError(f"'{self.url}' is no address of a server: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self.http.close()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request and return the JSON answer.

        Raises:
            ServerAway: no answer, or one that says to come again.
            ClientError: another error answer.
        """
        response = self._answer(method, path, **options)
        return response.json() if response.content else None

    def text(self, path: str, **options: Any) -> str:
        """GET a text; raises as `request` does."""
        return self._answer("GET", path, **options).text

    def content(self, path: str, **options: Any) -> bytes:
        """GET a file; raises as `request` does."""
        return self._answer("GET", path, **options).content

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        deadline, pause = time.monotonic() + self.patience_s, 0.2
        may_repeat = method == "GET" or "Idempotency-Key" in options.get("headers", {})
        while True:
            try:
                with self._while_waiting(self.url):
                    return self._send(method, path, **options)
            except ServerAway as error:
                wait = pause if error.retry_after_s is None else error.retry_after_s
                if not may_repeat or time.monotonic() + wait > deadline:
                    raise
            time.sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self.http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise no_answer(self.url, error) from error
        except httpx.InvalidURL as error:
            raise ClientError(f"'{self.url}' is no address of a server: {error}") from error
        if response.is_error:
            raise refusal(response)
        return response

    def session(self, session_id: str | None = None, history: History = "recent") -> Session:
        """The session of this name (or the beginning of its id); the active or latest without."""
        try:
            return self._session(session_id, history)
        except ClientError as error:
            if not session_id or len(session_id) >= 36 or error.status_code != 404:
                raise
        # Less of an id than the server takes.
        return self._session(self._beginning("session", session_id), history)

    def _session(self, name: str | None, history: History) -> Session:
        params = {"history": str(history)} | ({"session_id": name} if name else {})
        return Session.model_validate(self.request("GET", "/wild/v2/status", params=params))

    def sessions(self) -> list[Session]:
        """The latest sessions."""
        return self._many(Session, "/wild/v2/sessions", {})

    def activity(self, session_id: str, offset: int) -> SessionActivity:
        """What the session's agent has done, from byte `offset` on (negative: from the end)."""
        path = f"/wild/v2/activity/{session_id}"
        return SessionActivity.model_validate(self.request("GET", path, params={"offset": offset}))

    def report(self, session_id: str, *, now: bool = False) -> ReportView:
        """The session's report; while it goes on (or with `now`), one of how it stands."""
        path = f"/wild/v2/report/{session_id}"
        return ReportView.model_validate(self.request("GET", path, params={"now": now}))

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

    def alerts(self, session_id: str) -> list[Alert]:
        """The open alerts of a session, newest first."""
        return self._many(Alert, "/alerts", {"status": "open", "session_id": session_id})

    def answer(self, alert_id: str, choice: str, reason: str | None = None) -> Alert:
        """Answer an alert by one of its choices."""
        body = {"choice": choice, "reason": reason}
        return Alert.model_validate(self.request("POST", f"/alerts/{alert_id}/respond", json=body))

    def ask(self, session_id: str, question: str) -> Answer:
        """Ask a session's agent something; the answer comes among `answers`."""
        path, body = f"/wild/v2/ask/{session_id}", {"question": question}
        return Answer.model_validate(self.request("POST", path, json=body))

    def answers(self, session_id: str) -> AnswerList:
        """What was asked of a session, with the answers that are there."""
        return AnswerList.model_validate(self.request("GET", f"/wild/v2/ask/{session_id}"))

    def runs(self, **params: Any) -> list[Run]:
        """A page of runs, newest first; `params` as of `GET /runs`."""
        wanted = {key: value for key, value in params.items() if value is not None}
        return self._many(Run, "/runs", wanted)

    def every_run(self, most: int | None = None, **params: Any) -> list[Run]:
        """All runs (or the `most` newest), newest first, page by page."""
        found: dict[str, Run] = {}
        while most is None or len(found) < most:
            page = self.runs(limit=PAGE if most is None else min(PAGE, most), **params)
            before = len(found)
            found |= {run.id: run for run in page}
            if len(page) < PAGE or len(found) == before:
                break
            # An instant later, lest one that was created in the same one be missed.
            params["before"] = page[-1].created_at + 1e-6
        return list(found.values())[:most]

    def run(self, run_id: str) -> Run:
        """A run."""
        return Run.model_validate(self.request("GET", f"/runs/{run_id}"))

    def create_run(self, body: RunCreate) -> Run:
        """Create a run, once, however often the request has to be sent."""
        answer = self.request(
            "POST",
            "/runs",
            json=body.model_dump(mode="json", exclude_none=True),
            headers={"Idempotency-Key": str(uuid4())},
        )
        return Run.model_validate(answer)

    def metrics(self, run_id: str) -> RunMetricsView:
        """What a run has measured."""
        return RunMetricsView.model_validate(self.request("GET", f"/runs/{run_id}/metrics"))

    def tree(self, session_id: str) -> TreeView:
        """A session's changes as a tree."""
        return TreeView.model_validate(self.request("GET", f"/wild/v2/tree/{session_id}"))

    def evidence(self, session_id: str) -> AccountView:
        """The whole account of a session."""
        return AccountView.model_validate(self.request("GET", f"/wild/v2/evidence/{session_id}"))

    def comparison(self, run_id: str, other_run_id: str) -> RunComparison:
        """What differs between two runs."""
        path = f"/runs/{run_id}/compare/{other_run_id}"
        return RunComparison.model_validate(self.request("GET", path))

    def kept(self, session_id: str) -> NightView:
        """What a session has kept, to be taken home."""
        return NightView.model_validate(self.request("GET", f"/wild/v2/kept/{session_id}"))

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

    def log(
        self, run_id: str, offset: int, note: Callable[[str], None] = lambda _: None
    ) -> Iterator[str]:
        """A run's log as far as it is written, in parts; `note` is told what is missing of it."""
        while (chunk := self.logs(run_id, offset, LOG_PART_BYTES)).content:
            yield chunk.content
            offset = chunk.next_offset
        for one in chunk.notes:
            note(one)

    def full_id(self, kind: str, prefix: str) -> str:
        """The one id that begins with `prefix`; a session's also by the id of its front end.

        Raises:
            ClientError: none does, or several do.
        """
        if len(prefix) >= 36:
            return prefix
        if kind == "session":
            return self.session(prefix).session_id
        return self._beginning(kind, prefix)

    def _beginning(self, kind: str, prefix: str) -> str:
        listing: dict[str, Callable[[], Sequence[str]]] = {
            "session": lambda: [session.session_id for session in self.sessions()],
            "run": lambda: [run.id for run in self.runs(limit=PAGE)],
        }
        found = [id for id in listing[kind]() if id.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise ClientError(f"no {kind} with an id that begins with '{prefix}'", 404)
        raise ClientError(f"several {kind}s begin with '{prefix}': {', '.join(found[:5])}")

    def _many(self, model: type[M], path: str, params: dict[str, Any]) -> list[M]:
        answer = self.request("GET", path, params=params)
        return TypeAdapter(list[model]).validate_python(answer)  # type: ignore[valid-type]
