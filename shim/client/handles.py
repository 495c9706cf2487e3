"""What `wildloop.connect()` returns: sessions and runs of one server, to read and to steer."""

import time
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from wildloop.flows.errors import InvalidRequest, faults_of
from wildloop.flows.models.body import Body
from wildloop.flows.models.run import Run, RunCreate, RunStatus
from wildloop.flows.models.session import Session
from wildloop.flows.models.session_options import SessionStart
from wildloop.shim.client.api import ApiClient
from wildloop.shim.client.errors import WaitedTooLong
from wildloop.shim.client.frame import Library, to_frame
from wildloop.shim.models import RunMetricsView

B = TypeVar("B", bound=Body)
PATIENCE_S = 120.0
FIRST_LOOK_S = 0.1
LONGEST_LOOK_S = 2.0
NAME_LENGTH = 60


def connect(url: str | None = None, token: str | None = None) -> "Client":
    """Connect to a Wildloop server.

    Args:
        url: its address (default: WILDLOOP_SERVER_URL, else that of the running `wildloop up`).
        token: its token (default: WILDLOOP_AUTH_TOKEN, else that of WILDLOOP_HOME).

    Raises:
        ClientError: what answers there refuses the token, or the address is none.
        ServerAway: nothing answers there.
    """
    api = ApiClient(url, token)
    # Without patience: where the first request fails, the address is likely to be wrong.
    api.request("GET", "/wild/v2/sessions", params={"limit": 1})
    api.patience_s = PATIENCE_S
    return Client(api)


class Client:
    """A server with its sessions and runs. A context manager, which closes the connections.

    While the server restarts, reading and submitting wait for it, two minutes at most. Whatever it
    refuses is a ClientError.
    """

    def __init__(self, api: ApiClient) -> None:
        self.api = api

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()

    def __repr__(self) -> str:
        return f"<Wildloop at {self.api.url}>"

    def sessions(self) -> list["SessionHandle"]:
        """The latest sessions, newest first."""
        return [SessionHandle(self.api, session) for session in self.api.sessions()]

    def session(self, id: str | None = None) -> "SessionHandle":
        """The session with this id, or the beginning of it; the active or latest without."""
        return SessionHandle(self.api, self.api.session(id))

    def start(
        self, goal: str, workdir: str | PathLike[str] | None = None, **options: Any
    ) -> "SessionHandle":
        """Start a research session.

        Args:
            goal: what the research is to reach.
            workdir: the project, a folder of the server's host (default: its --workdir).
            options: as the fields of `POST /wild/v2/start`: agent, max_iterations, budget, keep...

        Raises:
            InvalidRequest: an option does not exist or has a wrong value.
        """
        folder = fspath(workdir) if workdir is not None else None
        body = checked(SessionStart, {"goal": goal, "workdir": folder, **options})
        return SessionHandle(self.api, self.api.start(body))

    def runs(
        self,
        limit: int | None = 100,
        *,
        status: RunStatus | str | None = None,
        session: str | None = None,
        sweep: str | None = None,
        archived: bool | None = None,
    ) -> "Runs":
        """Runs, newest first.

        Args:
            limit: at most so many; None: all.
            status: only those with this status.
            session: only those of this session.
            sweep: only those of this sweep.
            archived: only the archived ones (default: only the others).
        """
        found = self.api.every_run(
            limit,
            status=RunStatus(status).value if status is not None else None,
            chat_session_id=self.api.full_id("session", session) if session else None,
            sweep_id=sweep,
            archived=archived,
        )
        return Runs(RunHandle(self.api, run) for run in found)

    def run(self, id: str) -> "RunHandle":
        """The run with this id, or the beginning of it."""
        return RunHandle(self.api, self.api.run(self.api.full_id("run", id)))

    def submit(
        self,
        command: str,
        *,
        gpus: int = 1,
        parameters: Mapping[str, Any] | None = None,
        seed: int | None = None,
        workdir: str | PathLike[str] | None = None,
        timeout_seconds: float | None = None,
        name: str | None = None,
        **options: Any,
    ) -> "RunHandle":
        """Create a run and put it into the queue; it starts as soon as its devices are free.

        Args:
            command: a shell command; one configuration.
            gpus: devices, all on one host; 0: CPU only.
            parameters: the configuration, for tables; they are not added to the command.
            seed: recorded with the run.
            workdir: where it runs, a folder of the server's host (default: its --workdir).
            timeout_seconds: the command is ended after this long (default: never).
            name: a short name (default: the beginning of the command).
            options: further fields of `POST /runs`: env, priority, retries, sweep_id, slurm...

        Raises:
            InvalidRequest: an option does not exist or has a wrong value.
        """
        body = {
            "command": command,
            "name": name or " ".join(command.split())[:NAME_LENGTH],
            "gpus": gpus,
            "parameters": dict(parameters or {}),
            "seed": seed,
            "workdir": fspath(workdir) if workdir is not None else None,
            "timeout_seconds": timeout_seconds,
            "auto_start": True,
        }
        return RunHandle(self.api, self.api.create_run(checked(RunCreate, body | options)))

    def wait(
        self, runs: "Iterable[RunHandle] | None" = None, timeout_seconds: float | None = None
    ) -> "Runs":
        """Wait until runs have ended (default: all that are queued or run now).

        Raises:
            WaitedTooLong: one had not ended in time.
        """
        deadline = time.monotonic() + (timeout_seconds if timeout_seconds is not None else 1e9)
        waited = Runs(self._under_way() if runs is None else runs)
        for run in waited:
            run.wait(max(0.0, deadline - time.monotonic()))
        return waited

    def _under_way(self) -> list["RunHandle"]:
        waiting = (RunStatus.QUEUED, RunStatus.LAUNCHING, RunStatus.RUNNING)
        return [run for status in waiting for run in self.runs(None, status=status)]


def checked(body: type[B], fields: Mapping[str, Any]) -> B:
    """The body of a request.

    Raises:
        InvalidRequest: a field does not exist or has a wrong value.
    """
    if unknown := fields.keys() - body.model_fields.keys():
        raise InvalidRequest(
            f"no option {', '.join(sorted(unknown))}: there are {', '.join(body.model_fields)}"
        )
    try:
        return body.model_validate(fields)
    except ValidationError as error:
        raise InvalidRequest(faults_of(error)) from error


class RunHandle:
    """A run. `record` is how it was last seen; `status()` looks anew."""

    def __init__(self, api: ApiClient, record: Run) -> None:
        self._api = api
        self.record = record

    def __repr__(self) -> str:
        return f"<run {self.id[:8]} {self.record.name!r}: {self.record.status.value}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self.record.id

    def status(self) -> Run:
        """The run as it is now."""
        self.record = self._api.run(self.id)
        return self.record

    def metrics(self) -> RunMetricsView:
        """What it has measured: `series`, `last`, `best`."""
        return self._api.metrics(self.id)

    def log(self, tail_bytes: int | None = None) -> str:
        """Its log as far as it is written, or only the last bytes."""
        return "".join(self._api.log(self.id, -tail_bytes if tail_bytes is not None else 0))

    def stop(self) -> Run:
        """Have it ended: TERM to its processes, KILL after a grace time."""
        self.record = self._api.stop_run(self.id)
        return self.record

    def rerun(self, *, exact: bool = False) -> "RunHandle":
        """Repeat it; `exact`: the code of the first time, in a worktree of its own."""
        return RunHandle(self._api, self._api.rerun(self.id, exact=exact))

    def wait(self, timeout_seconds: float | None = None) -> Run:
        """Wait until it has ended, and return it.

        Raises:
            WaitedTooLong: it had not ended in time; it goes on.
        """
        began, pause = time.monotonic(), FIRST_LOOK_S
        while not self.status().status.is_terminal:
            left = float("inf")
            if timeout_seconds is not None:
                left = began + timeout_seconds - time.monotonic()
            if left <= 0:
                raise WaitedTooLong(
                    f"run {self.id} is {self.record.status.value} after {timeout_seconds:g} s"
                )
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, LONGEST_LOOK_S)
        return self.record


class SessionHandle:
    """A session. `record` is how it was last seen; `status()` looks anew."""

    def __init__(self, api: ApiClient, record: Session) -> None:
        self._api = api
        self.record = record

    def __repr__(self) -> str:
        return f"<session {self.id[:8]} {self.record.goal[:40]!r}: {self.record.status.value}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self.record.session_id

    def status(self) -> Session:
        """The session as it is now: phase, iteration, runs, best and baseline, what is spent."""
        self.record = self._api.session(self.id)
        return self.record

    def runs(self, limit: int | None = None) -> "Runs":
        """Its runs, newest first; at most `limit`."""
        found = self._api.every_run(limit, chat_session_id=self.id)
        return Runs(RunHandle(self._api, run) for run in found)

    def report(self, *, now: bool = False) -> str:
        """Its report (Markdown); while it goes on, or with `now`, one of how it stands."""
        return self._api.report(self.id, now=now).report

    def steer(self, text: str) -> Session:
        """Tell its agent something; it reads that in its next prompt."""
        return self._command("steer", context=text)

    def pause(self) -> Session:
        """Pause it: its agent is ended, its runs go on."""
        return self._command("pause")

    def resume(self) -> Session:
        """Resume it where it was."""
        return self._command("resume")

    def stop(self, *, stop_runs: bool = False) -> Session:
        """Stop it, and its waiting runs; with `stop_runs`, those that run too."""
        return self._command("stop", runs="stop" if stop_runs else "keep")

    def wait(self, timeout_seconds: float | None = None) -> Session:
        """Wait until it has ended, and return it.

        Raises:
            WaitedTooLong: it had not ended in time; it goes on.
        """
        began = time.monotonic()
        while self.status().is_active:
            if timeout_seconds is not None and time.monotonic() - began > timeout_seconds:
                raise WaitedTooLong(
                    f"session {self.id} is {self.record.status.value} after {timeout_seconds:g} s"
                )
            time.sleep(LONGEST_LOOK_S)
        return self.record

    def _command(self, verb: str, **body: Any) -> Session:
        self.record = self._api.command(verb, self.id, **body)
        return self.record


class Runs(Sequence[RunHandle]):
    """Runs, in order; `to_frame()` makes a table of them."""

    def __init__(self, runs: Iterable[RunHandle]) -> None:
        self._runs = tuple(runs)

    def __getitem__(self, place: Any) -> Any:
        found = self._runs[place]
        return Runs(found) if isinstance(place, slice) else found

    def __len__(self) -> int:
        return len(self._runs)

    def __repr__(self) -> str:
        return f"<{len(self)} runs>"

    def to_frame(self, library: Library | None = None) -> Any:
        """A data frame of pandas or polars, whichever is installed: a row a run.

        Parameters and metrics have columns of their own, as `parameters.lr` and
        `metrics.val_accuracy`.

        Raises:
            ClientError: neither is installed.
        """
        return to_frame([run.record for run in self], library)
