"""The Prefect server is away in each phase of a session: it costs time, and nothing else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.outages import KINDS, FaultyProxy, prefect_behind_a_proxy
from tests.support.project import make_project
from tests.support.script import DONE, Script, good_plan, planned
from tests.support.server import Server, start_server

pytestmark = pytest.mark.e2e
SECONDS = 4
REQUEST_SECONDS = 3
STOPPING = "<reflection>enough</reflection><continue>no</continue><summary>stop</summary>"


@dataclass
class Away:
    """A `wildloop up` whose Prefect server may be away, and how to ask that server itself."""

    server: Server
    proxy: FaultyProxy
    prefect: httpx.Client

    def versions(self, key: str) -> list[str]:
        """The ids of the versions of an artifact."""
        wanted = {"artifacts": {"key": {"any_": [key]}}, "limit": 200}
        return [one["id"] for one in self.prefect.post("/artifacts/filter", json=wanted).json()]

    def artifact_keys(self) -> list[str]:
        """The keys of all artifacts."""
        found = self.prefect.post("/artifacts/latest/filter", json={"limit": 200}).json()
        return [artifact["key"] for artifact in found]

    def flow_runs(self, wanted: dict[str, object]) -> list[str]:
        """The names of the flow runs that match."""
        answer = self.prefect.post("/flow_runs/filter", json={"flow_runs": wanted})
        return sorted(one["name"] for one in answer.json())

    def pages(self, wanted: dict[str, object]) -> list[str]:
        """The flow runs among those that match which have a page, once for each page."""
        found = self.prefect.post("/flow_runs/filter", json={"flow_runs": wanted}).json()
        names = {one["id"]: one["name"] for one in found}
        ids = {"flow_run_id": {"any_": list(names)}}
        pages = self.prefect.post("/artifacts/filter", json={"artifacts": ids, "limit": 200})
        return sorted(names[one["flow_run_id"]] for one in pages.json() if one["key"] is None)


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Away]:
    folder = tmp_path_factory.mktemp("away")
    with prefect_behind_a_proxy(folder / "prefect") as (proxy, direct):
        extra = {
            "PREFECT_API_URL": proxy.url,
            "PREFECT_API_REQUEST_TIMEOUT": str(REQUEST_SECONDS),
        }
        home, project = folder / "home", make_project(folder / "project")
        server = start_server(home, project, slots=2, extra=extra)
        yield Away(server, proxy, direct)
        server.stop()


def write_script(script: Script, spell: Path, marks: Path, kinds: list[str]) -> None:
    """Four calls, each of which ends as the server goes away; as does the run of the second."""

    def begin(kind: str) -> str:
        return f"echo '{kind} {SECONDS}' > '{spell}'\n"

    plan = script.folder / "plan.txt"
    plan.write_text(planned(), encoding="utf-8")
    script.shell(1, begin(kinds[0]) + f"cat '{plan}'\n")
    command = f"echo direct >> {marks}; sleep 6; echo {kinds[2]} {SECONDS} > {spell}"
    body = f'{{"name": "direct", "command": "{command}", "auto_start": true, "gpus": 0}}'
    script.shell(
        2,
        begin(kinds[1]) + "curl -sS --retry 30 --retry-all-errors --retry-delay 1 -f -X POST "
        '-H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" -H "Content-Type: application/json" '
        f"-H 'Idempotency-Key: {script.folder}' -d '{body}' "
        '"$WILDLOOP_SERVER_URL/runs" >&2 || exit 9\n'
        "echo '<summary>one</summary><promise>WAITING</promise>'\n",
    )
    block = "".join(
        f"- goal: {name}\n  command: bash -c 'echo {name} >> {marks}'\n  gpus: 0\n"
        for name in ("first", "second")
    )
    script.shell(
        3,
        begin(kinds[3]) + "cat <<'END'\n<summary>two</summary>\n<experiments>\n"
        f"{block}</experiments>\nEND\n",
    )
    done = script.folder / "done.md"
    done.write_text(good_plan("x"), encoding="utf-8")
    finish = f"touch a.md; cp '{done}' \"$WILDLOOP_TASKS_PATH\"\ncat <<'END'\n{DONE}END\n"
    script.shell(4, begin(kinds[4]) + finish)
    script.shell(5, begin(kinds[5]) + f"echo '{STOPPING}'\n")


@dataclass
class Outcome:
    """What has come of a session, in numbers and names."""

    status: str
    error: str | None
    history: list[tuple[str, int]]
    calls: int
    commands: list[str]
    runs: list[str]
    steps: list[str]
    versions: dict[str, int]
    pages: list[str]


def play(away: Away, folder: Path, kinds: list[str]) -> Outcome:
    """Carry the session out under these spells."""
    folder.mkdir()
    marks, script = folder / "marks", Script(folder / "script")
    write_script(script, away.proxy.spell, marks, kinds)
    session_id = away.server.start(make_project(folder / "project"), script.agent)
    session = away.server.wait_for(lambda: ended(away.server, session_id), "it ends", 240)
    runs = {"tags": {"all_": [f"session:{session_id}", "wildloop:experiment"]}}
    # Readable keys have the beginning of the id alone.
    keys = [key for key in away.artifact_keys() if session_id[:8] in key]
    pages = away.pages({"tags": {"any_": [f"session:{session_id}"]}})
    return Outcome(
        session["status"],
        session["error"],
        [(step["kind"], step["turn"]) for step in session["history"]],
        script.calls(),
        sorted(marks.read_text().split()),
        away.flow_runs(runs),
        away.flow_runs({"parent_flow_run_id": {"any_": [session_id]}}),
        {
            re.sub(rf"{session_id[:8]}[0-9a-f-]*", "ID", key): len(away.versions(key))
            for key in keys
        },
        pages,
    )


@pytest.fixture(scope="module")
def undisturbed(away: Away, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return play(away, tmp_path_factory.mktemp("undisturbed") / "x", ["none"] * 6)


@pytest.mark.parametrize("first", [0, pytest.param(3, marks=pytest.mark.long)])
def test_nothing_is_lost_or_doubled_whenever_the_server_is_away(
    away: Away, undisturbed: Outcome, tmp_path: Path, first: int
) -> None:
    kinds = [KINDS[(first + number) % len(KINDS)] for number in range(6)]
    log = away.server.tail("worker")
    away.proxy.met.clear()
    outcome = play(away, tmp_path / "x", kinds)
    assert set(away.proxy.met) == set(kinds)
    assert outcome == undisturbed
    assert (outcome.status, outcome.error, outcome.calls) == ("completed", None, 5)
    assert outcome.commands == outcome.runs == ["direct", "first", "second"]
    # Planning, calls and reflection, and what the runs hang on to in the graph.
    assert len(set(outcome.steps)) == len(outcome.steps) == 6
    told = log.text()
    assert told.count("does not answer") == told.count("answers again") >= 3
    assert "Traceback" not in told


def ended(server: Server, session_id: str) -> dict | None:  # type: ignore[type-arg]
    """The session, once it has ended; the API may say that it is to be asked again."""
    answer = server.http.get("/wild/v2/status", params={"session_id": session_id})
    if answer.status_code == 503:
        assert int(answer.headers["Retry-After"]) > 0
        assert "try again" in answer.json()["detail"]
        return None
    assert answer.is_success, answer.text
    session = dict(answer.json())
    return None if session["is_active"] else session
