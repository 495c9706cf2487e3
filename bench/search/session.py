"""The Baseline agent's own code in a session whose runs end at once; nothing of it is copied."""

import tempfile
from pathlib import Path
from typing import Any

from bench.search.problems import Problem
from wildloop.blocks.agents.baseline import agent
from wildloop.blocks.agents.baseline.api import (
    Api,
    ClusterView,
    EvidenceView,
    EvoSweepView,
    RunView,
)
from wildloop.blocks.agents.baseline.config import ProjectFile, Surroundings
from wildloop.blocks.agents.baseline.recommend import FILE, Recommendation
from wildloop.flows.evidence.account import Account, Contract
from wildloop.flows.evidence.view import view_of
from wildloop.flows.models.run import Run
from wildloop.flows.project import MetricConfig

SLOTS = 2
CALLS = 1000


class SessionApi(Api):
    """The server, as far as the agent needs it: a run has ended when it is asked for again."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._runs: list[dict[str, Any]] = []
        self._views: list[RunView] = []
        self._sweeps: dict[str, str] = {}
        self._clock = 0.0

    def probe(self, path: str) -> None:
        """Everything is there."""

    def goal(self) -> str:
        """The user's words."""
        return "Improve score"

    def cluster(self) -> ClusterView:
        """Two slots, as in the demo."""
        return ClusterView(label="CPU only", slots=SLOTS, held=0)

    def runs(self) -> list[RunView]:
        """Every run so far."""
        return list(self._views)

    def earlier_runs(self) -> list[RunView]:
        """There was no session before."""
        return []

    def sweep(self, name: str, goal: str) -> str:
        """A sweep's id, which tells its name and goal."""
        self._sweeps[name] = f"{name} {goal}"
        return name

    def evo_sweep(self, name: str) -> EvoSweepView | None:
        """None is under way."""
        return None

    def create_run(self, **body: Any) -> RunView:
        """Carry a run out."""
        values = {name: body["parameters"][name] for name in self._problem.space}
        value = self._problem.measure(values, body["seed"])
        number, at = len(self._runs), self._clock + len(self._runs) / 1000
        self._runs.append(
            body
            | {"id": f"run-{number}", "code": "code", "run_dir": "/r", "chat_session_id": "s"}
            | {"created_at": at, "started_at": at, "finished_at": self._clock + 500}
            | {"status": "failed" if value is None else "finished"}
            | {"exit_code": value is None, "metrics": {} if value is None else {"score": value}}
        )
        self._views.append(RunView.model_validate(self._runs[-1]))
        return self._views[-1]

    def evidence(self) -> EvidenceView:
        """The account, as the real API makes it."""
        view = view_of(self.account(), "s").model_dump(mode="json")
        return EvidenceView.model_validate(view)

    def account(self) -> Account:
        """The account of the session."""
        runs = [Run.model_validate(one) for one in self._runs]
        contract = Contract(
            MetricConfig(name="score", direction="max"), baseline=self._problem.baseline
        )
        return Account(runs, contract, sweep_texts=self._sweeps)

    def tick(self) -> None:
        """The runs asked for so far have ended."""
        self._clock += 1000

    @property
    def used(self) -> int:
        """How many runs there are."""
        return len(self._runs)


def recommended(problem: Problem, runs: int, seed: int) -> tuple[dict[str, Any], int]:
    """What a session of the agent recommends after at most `runs` runs, and how many it made."""
    api, project = SessionApi(problem), _bounded(problem.project, runs)
    with tempfile.TemporaryDirectory() as folder:
        where = Surroundings(
            phase="planning",
            session_id=f"session-{seed}",
            server_url="http://unused",
            token=None,
            tasks_path=Path(folder) / "tasks.md",
            session_dir=Path(folder),
            project=Path(folder),
        )
        agent.act(api, project, where, "")
        where = where.model_copy(update={"phase": "iteration"})
        for _ in range(CALLS):
            reply = agent.act(api, project, where, "")
            api.tick()
            if reply["promise"] == "DONE":
                break
        else:
            raise RuntimeError(f"the session has not ended after {CALLS} calls")
        path = where.experiments / FILE
        chosen = Recommendation.model_validate_json(path.read_text(encoding="utf-8"))
    return chosen.configuration, api.used


def _bounded(project: ProjectFile, runs: int) -> ProjectFile:
    return project.model_copy(update={"budget": project.budget.model_copy(update={"runs": runs})})
