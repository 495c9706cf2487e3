"""The agent as Wildloop calls it: a process of its own for each call, the prompt on stdin."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.blocks.agents.baseline.memory_api import TOKEN, Execute, MemoryApi
from tests.support.pace import patient
from wildloop.flows.protocol.plan import Plan, closed_gates, open_tasks, parse_plan
from wildloop.flows.protocol.tags import AgentReplyTags, parse_reply

ROOT = Path(__file__).resolve().parents[4]
SESSION = "session-1"
CALLS_AT_MOST = 60


@dataclass
class Call:
    """What one call has said."""

    code: int
    text: str
    errors: str

    @property
    def tags(self) -> AgentReplyTags:
        """The tags, read as Wildloop reads them."""
        return parse_reply(self.text)


@dataclass
class Caller:
    """Calls the agent in one project, for one session."""

    project: Path
    api: MemoryApi
    session: str = SESSION
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def session_dir(self) -> Path:
        """Folder of plan and playbook."""
        return self.project / ".wild" / "sessions" / self.session

    @property
    def tasks_path(self) -> Path:
        """The plan."""
        return self.session_dir / "tasks.md"

    @property
    def experiments(self) -> Path:
        """Folder of the deliverables."""
        return self.project / ".wild" / "experiments" / self.session

    def plan(self) -> Plan:
        """The plan as Wildloop reads it."""
        return parse_plan(self.tasks_path.read_text(encoding="utf-8"))

    def start(self, phase: str, prompt: str = "", iteration: int = 1) -> "subprocess.Popen[str]":
        """Start one call."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "wildloop.blocks.agents.baseline"],
            cwd=self.project,
            env=self._environment(phase, iteration),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(prompt)
        process.stdin.close()
        process.stdin = None
        return process

    def _environment(self, phase: str, iteration: int) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "WILDLOOP_PHASE": phase,
            "WILDLOOP_ITERATION": str(iteration),
            "WILDLOOP_SESSION_ID": self.session,
            "WILDLOOP_SERVER_URL": self.api.url,
            "WILDLOOP_AUTH_TOKEN": TOKEN,
            "WILDLOOP_TASKS_PATH": str(self.tasks_path),
            "WILDLOOP_SESSION_DIR": str(self.session_dir),
            **self.environment,
        }

    def call(self, phase: str, prompt: str = "", iteration: int = 1) -> Call:
        """One call, to its end; by a process that is loaded already, where the API knows of one."""
        if self.api.forks is not None:
            environment = self._environment(phase, iteration)
            return Call(*self.api.forks.call(self.project, environment, prompt))
        process = self.start(phase, prompt, iteration)
        text, errors = process.communicate(timeout=patient(120))
        return Call(process.returncode, text, errors)

    def work(self, execute: Execute, until: str = "", parallel: int = 1) -> list[Call]:
        """Iterate as the loop does, until DONE or until task `until` is the next one.

        Runs end after each WAITING; a newly closed reflection gate is followed by a reflection.
        """
        calls: list[Call] = []
        reflected = len(closed_gates(self.plan()))
        for number in range(1, CALLS_AT_MOST):
            waiting = open_tasks(self.plan())
            if until and (not waiting or waiting[0].id == until):
                return calls
            calls.append(self.call("iteration", iteration=number))
            assert calls[-1].code == 0, calls[-1].errors
            if calls[-1].tags.promise == "WAITING":
                self.api.finish_runs(execute, parallel)
            if len(closed_gates(self.plan())) > reflected:
                reflected += 1
                calls.append(self.call("reflection", iteration=number))
            if "DONE" in (call.tags.promise for call in calls[-2:]):
                return calls
        raise AssertionError(f"not done after {CALLS_AT_MOST} calls: {calls[-1].text}")


def write_project(folder: Path, **changes: str) -> Path:
    """A project whose training is left to the test; `changes` replace tables of wildloop.toml."""
    tables = {
        "project": 'name = "toy"',
        "train": 'command = "python train.py"',
        "metric": 'name = "val_accuracy"',
        "baseline": "lr = 0.5\nwidth = 16\nepochs = 3",
        "search.lr": "low = 0.001\nhigh = 1.0\nlog = true",
        "search.width": "values = [16, 32, 64]",
        "budget": "runs = 12\nseeds = 2",
    } | {name.replace("__", "."): text for name, text in changes.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.py").write_text("print('never run by the agent')\n")
    text = "\n".join(f"[{name}]\n{content}\n" for name, content in tables.items())
    (folder / "wildloop.toml").write_text(text)
    return folder
