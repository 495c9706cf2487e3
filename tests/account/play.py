"""Playing scenarios on a server."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.account.scenarios import SCENARIOS, Scenario
from tests.support.project import git, make_project
from tests.support.server import Server

AGENT = Path(__file__).with_name("agent.py")


@dataclass(frozen=True)
class Played:
    """A session that has ended: its project, what its agent has noted, what the API tells."""

    name: str
    scenario: Scenario
    project: Path
    notes: Path
    session_id: str
    status: dict[str, Any]
    evidence: dict[str, Any]
    results: dict[str, Any]
    report: str
    told: str
    digest: dict[str, Any] = field(default_factory=dict)
    """The whole digest that `wildloop digest --json` prints once all sessions have ended."""
    digest_text: str = ""
    """What `wildloop digest` prints of it."""

    @property
    def folder(self) -> Path:
        """Of the session."""
        return self.project / ".wild" / "sessions" / self.session_id


def begin(server: Server, folder: Path, name: str) -> tuple[Path, Path, str]:
    """Start the session of a scenario; its project, its agent's notes and its id."""
    scenario, notes = SCENARIOS[name], folder / "notes"
    project = make_project(folder / "project", scenario.toml)
    (project / "train.py").write_text(scenario.train, encoding="utf-8")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "train")
    notes.mkdir()
    # An agent may not withdraw runs: what the scenario withdraws, its user does.
    (notes / "user-token").write_text(server.token, encoding="utf-8")
    (notes / "scenario.json").write_text(json.dumps(scenario.script()), encoding="utf-8")
    id = server.start(
        project,
        f"command:{sys.executable} -I -S {AGENT} {notes}",
        goal=scenario.goal,
        max_iterations=len(scenario.iterations) + 1,
        **scenario.options,
    )
    return project, notes, id


def ended(server: Server, name: str, project: Path, notes: Path, id: str, told: str) -> Played:
    """The session once it has ended; `told`: what `wildloop status` has printed of it."""
    return Played(
        name,
        SCENARIOS[name],
        project,
        notes,
        id,
        server.session(id),
        server.get(f"/wild/v2/evidence/{id}"),
        server.get(f"/wild/v2/results/{id}"),
        server.get(f"/wild/v2/report/{id}")["report"],
        told,
    )
