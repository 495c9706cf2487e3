"""Who sees only the Prefect UI can tell what was tried, what it cost and what came of it.

Pictures of the pages, 1400 pixels wide, are left in the test's folder; with
`WILDLOOP_PICTURES=FOLDER` they are put there.
"""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.prefect_pages import Browser, browser
from tests.support.project import make_project
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, start_server

pytestmark = [
    pytest.mark.browser,
    pytest.mark.e2e,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]
TRIED = """<summary>a wider network scores 0.8</summary>
<experiments>
- goal: wider
  command: "echo hidden=64; echo score=0.8"
</experiments>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pictures go."""
    found = Path(os.environ.get("WILDLOOP_PICTURES") or tmp_path_factory.mktemp("pictures"))
    found.mkdir(parents=True, exist_ok=True)
    return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A host with two slots."""
    place = tmp_path_factory.mktemp("seen")
    running = start_server(
        place / "home",
        make_project(place / "project"),
        slots=2,
        extra={"PREFECT_API_BLOCKS_REGISTER_ON_START": "true"},
    )
    yield running
    running.stop()


@pytest.fixture(scope="module")
def session(host: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A session of one iteration that made a run."""
    script = Script(tmp_path_factory.mktemp("script")).reply(1, planned()).reply(2, TRIED)
    script.default(STOP)
    return host.session_ended(host.start(host.workdir, script.agent, max_iterations=1))


@pytest.fixture
def ui(host: Server, tmp_path: Path) -> Iterator[Browser]:
    """A browser that is signed in."""
    origin = f"http://127.0.0.1:{host.prefect_port}"
    with browser(tmp_path, origin, f"wildloop:{host.token}") as page:
        yield page


def artifact(host: Server, flow_run_id: str, kind: str = "markdown") -> str:
    """The newest artifact of a flow run; its id."""
    wanted = {"artifacts": {"flow_run_id": {"any_": [flow_run_id]}, "type": {"any_": [kind]}}}
    found = host.prefect.post("/artifacts/filter", json=wanted | {"sort": "CREATED_DESC"}).json()
    assert found, flow_run_id
    return str(found[0]["id"])


def test_pages_of_a_session(
    host: Server, session: dict[str, Any], ui: Browser, folder: Path
) -> None:
    id = session["session_id"]
    (run,) = host.get("/runs", chat_session_id=id)
    step = next(one for one in host.steps(id) if one["name"] == "iteration-01")
    ui.picture(f"/runs/flow-run/{id}", folder / "session.png", "iteration-01", "Raise the score")
    told = ui.picture(
        f"/artifacts/artifact/{artifact(host, step['id'])}",
        folder / "iteration.png",
        "a wider network scores 0.8",
    )
    assert "cost" in told.lower() or "tokens" in told.lower()
    told = ui.picture(
        f"/artifacts/artifact/{artifact(host, run['id'])}",
        folder / "run.png",
        "echo hidden=64",
        "score",
    )
    assert socket.gethostname() in told and "commit" in told
    ui.picture("/artifacts", folder / "artifacts.png", "leaderboard-raise-the-score")


def test_concurrency_shows_what_is_held(
    host: Server, ui: Browser, folder: Path, tmp_path: Path
) -> None:
    run = host.run(f"until [ -e {tmp_path}/go ]; do sleep 0.1; done")
    host.reaches(run["id"], "running")
    name = f"wildloop-gpu:{socket.gethostname()}"
    ui.picture("/concurrency-limits?tab=Global", folder / "concurrency.png", name)
    held = host.prefect.get(f"/v2/concurrency_limits/{name}").json()
    assert (held["limit"], held["active_slots"]) == (2, 1)
    (tmp_path / "go").touch()
    host.ended(run["id"])


def test_forms_explain_themselves(host: Server, ui: Browser, folder: Path) -> None:
    loop = host.prefect.get("/deployments/name/research-loop/wildloop").json()["id"]
    ui.picture(f"/deployments/deployment/{loop}/run", folder / "form.png", "Goal", "Project")
    kind = host.prefect.get("/block_types/slug/wildloop-claude-code-agent").json()
    assert "claude_code import ClaudeCode" in kind["code_example"]
    ui.picture("/blocks/catalog/wildloop-claude-code-agent/create", folder / "block.png", "Model")
