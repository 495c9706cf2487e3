"""What goes on without a server: the agents and the runs of this host that it has started."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from wildloop.flows.settings import SERVER_URL_VARIABLE
from wildloop.flows.text.plural import counted

SESSION_VARIABLE = "WILDLOOP_SESSION_ID"
RUN_VARIABLE = "WILDLOOP_RUN_ID"
GRACE_S = 5.0
POLL_S = 0.05
UNSEEN = (psutil.Error, OSError)


@dataclass(frozen=True)
class GoingOn:
    """Processes of agents by their session, and the ids of runs."""

    agents: dict[str, list[psutil.Process]]
    runs: frozenset[str]

    def lines(self) -> list[str]:
        """What a person should know of it when the server is stopped."""
        found = []
        if self.runs:
            found.append(f"{counted(len(self.runs), 'run')} of this host: left running")
        for session, processes in self.agents.items():
            pids = ", ".join(str(one.pid) for one in processes[:3])
            found.append(f"the agent of session {session[:8]} works on (pid {pids})")
        if self.agents:
            many = counted(len(self.agents), "agent")
            found.append(f"{many} may cost money meanwhile: `wildloop down --agents` ends them")
        return found

    def end_agents(self) -> list[str]:
        """End the agents: TERM, and KILL after some seconds; the ids of their sessions.

        Their sessions go on at the next `up`, which makes the calls anew.
        """
        processes = [one for group in self.agents.values() for one in group]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in processes:
                with suppress(*UNSEEN):
                    process.send_signal(number)
            deadline = time.monotonic() + GRACE_S
            while (processes := list(_alive(processes))) and time.monotonic() < deadline:
                time.sleep(POLL_S)
        return list(self.agents)


def going_on(server_url: str) -> GoingOn:
    """What runs on this host and was started for the server of this URL."""
    agents: dict[str, list[psutil.Process]] = {}
    runs = set()
    for process in psutil.process_iter():
        with suppress(*UNSEEN):
            env = process.environ()
            if env.get(SERVER_URL_VARIABLE) != server_url or process.pid == os.getpid():
                continue
            if run := env.get(RUN_VARIABLE):
                runs.add(run)
            elif session := env.get(SESSION_VARIABLE):
                agents.setdefault(session, []).append(process)
    return GoingOn(agents, frozenset(runs))


def remember_url(home: Path, server_url: str) -> None:
    """Keep the server's URL in the home, for when nothing of it runs any more."""
    _place(home).write_text(server_url, encoding="utf-8")


def last_url(home: Path) -> str | None:
    """The URL of the last server of this home; None if there was none."""
    try:
        return _place(home).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def _place(home: Path) -> Path:
    return home / "run" / "server-url"


def _alive(processes: Iterable[psutil.Process]) -> Iterable[psutil.Process]:
    for process in processes:
        with suppress(*UNSEEN):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                yield process
