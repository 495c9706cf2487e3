"""A person who sees only Prefect's UI: what was tried, what it cost, what came of it, what ran.

With WILDLOOP_TEST_PICTURES=FOLDER the pages are kept there as pictures, for the docs.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.prefect_ui import PrefectUI, prefect_ui
from tests.support.researcher import GOAL, SEEDS, STEPS, digits_project, researcher
from tests.support.server import Server, start_server
from wildloop.flows.worker.deployments import BLOCKS

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.long]
PICTURES = "WILDLOOP_TEST_PICTURES"
LAST = f"iteration-{len(STEPS):02d}"


@dataclass
class Night:
    """A session that has ended, on a server that still runs."""

    server: Server
    session_id: str

    def records(self, table: str, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        """What Prefect's API has."""
        answer = self.server.prefect.post(f"/{table}/filter", json={table: wanted})
        assert answer.is_success, answer.text
        return list(answer.json())

    @property
    def iteration(self) -> str:
        """The flow run of the last iteration."""
        return next(
            str(one["id"]) for one in self.server.steps(self.session_id) if one["name"] == LAST
        )

    @property
    def run(self) -> str:
        """The flow run of one of its runs."""
        runs = self.server.get("/runs", chat_session_id=self.session_id, limit=100)
        name = f"{STEPS[-1].change} seed {SEEDS[0]}"
        return next(str(one["id"]) for one in runs if one["name"] == name)

    def artifact(self, flow_run_id: str, words: str) -> str:
        """The page of the artifact of a flow run whose description has these words."""
        found = self.records("artifacts", {"flow_run_id": {"any_": [flow_run_id]}})
        told = {one["description"]: one["id"] for one in found}
        return f"/artifacts/artifact/{next(id for said, id in told.items() if words in said)}"


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """Seven iterations on the digits."""
    folder = tmp_path_factory.mktemp("night")
    project = digits_project(folder / "digits")
    server = start_server(folder / "home", project, slots=2)
    try:
        agent = researcher(server, "researcher", folder / "agent")
        options = {"goal": GOAL, "keep": "better", "max_iterations": len(STEPS)}
        session_id = server.start(project, agent, **options)
        session = server.session_ended(session_id, 300)
        assert (session["status"], session["error"]) == ("completed", None)
        yield Night(server, session_id)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def ui(night: Night) -> Iterator[PrefectUI]:
    """The browser."""
    wanted = os.environ.get(PICTURES)
    with prefect_ui(night.server, Path(wanted) if wanted else None) as found:
        yield found


def test_session_says_what_was_asked_and_leads_to_all_of_it(night: Night, ui: PrefectUI) -> None:
    ui.open(f"/runs/flow-run/{night.session_id}", GOAL, "Completed")
    ui.tab("Artifacts", "Report: Get val_accuracy", "configurations tried: val_accuracy", "kept")
    ui.picture("session", 1060)
    ui.open(
        night.artifact(night.session_id, "configurations tried"),
        *(f"{step.kind}: {step.change}" for step in STEPS),
    )
    ui.picture("leaderboard", 700)


def test_iteration_tells_what_was_tried_its_cost_its_outcome_and_its_code(
    night: Night, ui: PrefectUI
) -> None:
    step, id = STEPS[-1], night.iteration
    ui.open(f"/runs/flow-run/{id}", LAST, GOAL)
    ui.tab("Artifacts", f"{LAST}: 3 of 3 runs finished", f"{LAST}: keep", f"{LAST}: {step.task}")
    ui.picture("iteration", 720)
    ui.open(
        night.artifact(id, step.task),
        f"{step.kind}: {step.change}",
        "$0.37",
        f"git show wild/{night.session_id[:8]}/iter-{len(STEPS):02d}",
        "Edit: train.py",
        f"{step.change} seed {SEEDS[0]}",
        "default=0.9",
    )
    ui.picture("iteration-call", 1260)
    ui.open(night.artifact(id, "3 of 3"), "What came of its runs", "finished", "val_accuracy")
    ui.picture("iteration-outcome", 560)
    link = ui.page.get_by_role("link", name=f"{step.change} seed {SEEDS[0]}")
    assert (link.get_attribute("href") or "").endswith(f"/runs/flow-run/{night.run}")
    ui.open(night.artifact(id, ": keep"), "better: difference", "best before")


def test_run_tells_its_command_its_code_and_what_it_measured(night: Night, ui: PrefectUI) -> None:
    run = night.server.get(f"/runs/{night.run}")
    ui.open(f"/runs/flow-run/{run['id']}", run["name"])
    ui.tab("Artifacts", f"{run['name']}: finished, val_accuracy")
    ui.open(
        night.artifact(run["id"], "finished"),
        run["command"],
        run["git_commit"][:12],
        f"{run['metrics']['val_accuracy']:.6g}",
        "End of the log",
        night.session_id,
    )
    ui.picture("run", 1240)


def test_list_of_artifacts_says_what_each_is(night: Night, ui: PrefectUI) -> None:
    ui.open(
        "/artifacts",
        f"Sweep {LAST} experiments: 3 of 3 runs finished",
        "Plan, ",
        "Where the session stands",
        "The compute that Wildloop uses",
    )
    ui.picture("artifacts", 1180)
    ui.open(night.artifact(night.session_id, "Where the session stands"), LAST[:9], "report")


def test_concurrency_shows_what_is_held(night: Night, ui: PrefectUI, tmp_path: Path) -> None:
    go = tmp_path / "go"
    run = night.server.run(f"until [ -e {go} ]; do sleep 0.1; done")
    night.server.reaches(run["id"], "running")
    ui.open("/concurrency-limits", f"wildloop-gpu:{socket.gethostname()}")
    row = ui.page.get_by_role("row", name="wildloop-gpu").inner_text().split()
    assert row[1:3] == ["2", "1"], row
    ui.picture("concurrency", 420)
    go.touch()
    night.server.ended(run["id"])


def test_form_of_a_session_explains_itself(night: Night, ui: PrefectUI) -> None:
    found = night.server.prefect.get("/deployments/name/research-loop/wildloop").json()
    ui.open(
        f"/deployments/deployment/{found['id']}/run",
        "What the research is to reach, with the metric and its target.",
        "A git repository on the worker's host: the code to improve.",
        "Hard stop, planning not counted.",
    )
    ui.picture("session-form", 1100)


@pytest.mark.parametrize("block", BLOCKS)
def test_form_of_a_block_explains_itself(night: Night, ui: PrefectUI, block: Any) -> None:
    slug = block.get_block_type_slug()
    fields = block.model_json_schema()["properties"].values()
    # Of a group of fields the UI shows what the group says of itself.
    described = [
        str(one["description"]).split("`")[0][:60].strip() for one in fields if "$ref" not in one
    ]
    said = str(block.get_description()).split("`")[0][:60].strip()
    ui.open(f"/blocks/catalog/{slug}/create", block.get_block_type_name(), said, *described)
    ui.picture(f"block-{slug.removeprefix('wildloop-')}", 1240)
