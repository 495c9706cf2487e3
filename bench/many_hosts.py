"""Workers under host names of their own, beside the one of `wildloop up`, on this machine."""

import os
import subprocess
import sys
from pathlib import Path

from bench.measures import Probe
from bench.processes import BenchError, PartUsage, clean_environment, end, spawn, until, usage
from bench.subjects import START_SECONDS, WildloopSubject, tail


class HostsSubject(WildloopSubject):
    """A `wildloop up` and workers of further hosts; all see the same folders.

    Args:
        devices: slots of each host, the first being this machine's own.
        database: as of `WildloopSubject`.

    Raises:
        BenchError: host names cannot be given, for want of root.
    """

    def __init__(self, devices: list[int], database: str | None = None) -> None:
        super().__init__(database)
        if os.geteuid() != 0:
            raise BenchError("a worker under another host name needs root")
        self.devices = devices
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def witnesses(self) -> Path:
        """Where commands note when they began and ended."""
        return self.folder / "witnesses"

    def start_all(self) -> None:
        """Start the server, and then the further hosts one after the other."""
        self.witnesses.mkdir(exist_ok=True)
        self.start(self.devices[0])
        for number, slots in enumerate(self.devices[1:], 2):
            self.workers[f"host{number}"] = self._start_worker(f"host{number}", slots)

    def _start_worker(self, name: str, slots: int) -> "subprocess.Popen[bytes]":
        home = self.folder / name
        home.mkdir()
        ready, log = home / "ready", home / "worker.log"
        env = clean_environment(
            WILDLOOP_HOME=str(home),
            PREFECT_HOME=str(home / "prefect"),
            PREFECT_API_URL=self.prefect_api_url,
            WILDLOOP_SERVER_URL=str(self.started_api.base_url).rstrip("/"),
            WILDLOOP_WORKDIR=str(self.folder / "project"),
        )
        words = [sys.executable, "-P", "-m", "wildloop.flows.worker.main", "--slots", str(slots)]
        inner = f'hostname {name} && exec "$@"'
        command = ["unshare", "--uts", "sh", "-c", inner, "sh", *words, "--ready-file", str(ready)]
        process = spawn(command, env, log)

        def is_ready() -> bool:
            if process.poll() is not None:
                raise BenchError(f"the worker of {name} ended: {tail(log)}")
            return ready.exists()

        until(is_ready, f"the worker of {name} is ready", START_SECONDS, 0.1)
        return process

    def stop(self) -> None:
        """End the further workers, then all the rest; commands that live on are ended too."""
        for process in self.workers.values():
            end(process)
        self.workers = {}
        super().stop()

    def parts(self) -> list[PartUsage]:
        """As of `wildloop up`; `worker` is all of them. Commands count with their worker."""
        found = super().parts()
        further = [usage("worker", [process.pid]) for process in self.workers.values()]
        own = next(part for part in found if part.name == "worker")
        own.cpu_seconds += sum(part.cpu_seconds for part in further)
        return found


def command_of(folder: Path, seconds: float) -> str:
    """A command that notes its begin and its end, each in a file by the id of its run."""
    begin, over = (f'"{folder}/$WILDLOOP_RUN_ID.{what}"' for what in ("start", "end"))
    return f"date +%s.%N > {begin}; sleep {seconds:g}; date +%s.%N > {over}"


def spans(folder: Path, now: float) -> list[tuple[float, float]]:
    """From when to when each command ran; one that runs still, to now."""
    found = []
    for file in folder.glob("*.start"):
        probe = Probe(folder, name=file.stem)
        if (begun := probe.read("start")) is not None:
            found.append((begun, probe.read("end") or now))
    return found
