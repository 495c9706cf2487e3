"""What `wildloop take` says and how it ends, on a real repository with a server that is made up."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from tests.shim.cli.test_here import of
from tests.support.night import OWN, SESSION, Night
from tests.support.records import made_run
from tests.support.repository import first_commit, sh, write
from wildloop.flows.errors import Conflict, InvalidRequest
from wildloop.flows.models.contract import SessionContract
from wildloop.flows.models.evidence import Estimate, Level
from wildloop.flows.models.run import Checkout, Run
from wildloop.flows.models.session import Session
from wildloop.flows.models.take import BestToRun, NightView
from wildloop.shim.cli.main import application

BEST = BestToRun(
    run_id="r1",
    run_name="best",
    command="bash train.sh --seed=1",
    value=0.9,
    estimate=Estimate(values=[0.89, 0.9, 0.91], mean=0.9, sd=0.01, low=0.875, high=0.925),
    configuration="train.sh",
    level=Level.CONFIRMED,
)


class Served:
    """A server that has one night; each run that is asked of it has ended with the next value."""

    def __init__(self, night: NightView, *values: float, **contract: Any) -> None:
        self.night, self.values, self.asked = night, list(values), list[dict[str, Any]]()
        self.contract = SessionContract.model_validate(contract)
        self.found: dict[str, float] = {}

    def session(self, name: str) -> Session:
        assert SESSION.startswith(name)
        session = of(SESSION, Path(self.night.workdir))
        return session.model_copy(update={"contract": self.contract})

    def kept(self, id: str) -> NightView:
        assert id == SESSION
        return self.night

    def request(self, method: str, path: str, json: dict[str, Any]) -> dict[str, Any]:
        self.asked.append({"path": f"{method} {path}", **json})
        run = made_run(len(self.asked), self.values.pop(0), status="running")
        return run.model_dump(mode="json")

    def run(self, id: str) -> Run:
        return made_run(int(id[-4:]), 0.0).model_copy(update={"metrics": self.found})


@pytest.fixture
def night(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    first_commit(repository, monkeypatch, {"a.txt": "a\n", "b.txt": "b\n"})
    night = Night(repository)
    night.idea("changes a", {"a.txt": "A\n"})
    night.idea("is none", {"b.txt": "x\n"}, keep=False)
    night.idea("changes b", {"b.txt": "B\n"})
    night.idea("only parameters")
    night.ends()
    return night


def said(monkeypatch: pytest.MonkeyPatch, served: Served, *words: str) -> Result:
    monkeypatch.setattr("wildloop.shim.cli.take.server", lambda: served)
    monkeypatch.setattr("wildloop.shim.cli.take.LOOK_SECONDS", 0.0)
    return CliRunner().invoke(application(), ["take", SESSION[:8], *words])


def test_it_says_each_commit_what_has_none_and_where_the_text_is(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = said(monkeypatch, Served(night.view(best=BEST)))
    assert found.exit_code == 0, found.output
    text = found.output
    assert "  changes a\n" in text
    assert "iteration-01: score: 0.11 ± 0.001 (n=3) -> 0.12 ± 0.001 (n=3), measured" in text
    assert "no commit for iteration-04 (only parameters): it changed no file" in text
    assert "branch take/abcdef12: 2 ideas in 2 commits on main (" in text
    assert f"wild/{SESSION} stays as it is" in text
    file = night.root / OWN / "pull_request.md"
    assert f"(pull request: {file})" in text
    written = file.read_text()
    assert written.startswith("# 2 ideas for score: Get score above 0.5\n")
    assert "measured on the night's branch, not on this one" in written
    assert "bash train.sh --seed=1" in written and "iteration-02: discard: is none" in written
    again = said(monkeypatch, Served(night.view()))
    assert isinstance(again.exception, Conflict) and "already" in str(again.exception)


def test_the_exit_code_tells_that_an_idea_is_missing(
    night: Night, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(night.root / "a.txt", "main\n")
    sh(night.root, "commit", "-qam", "main has another mind")
    found = said(monkeypatch, Served(night.view()))
    assert found.exit_code == 3
    assert "NOT TAKEN: iteration-01 (changes a): conflict in 1 file" in found.output
    assert "a.txt: both have changed it (there since: " in found.output
    assert "no branch was made: nothing goes onto main" in found.output
    assert "not tried: iteration-03 (--skip" in found.output
    file = tmp_path / "request.md"
    found = said(monkeypatch, Served(night.view()), "--skip", "--json", "--text", str(file))
    assert found.exit_code == 3
    taken = json.loads(found.output)
    assert [one["title"] for one in taken["commits"]] == ["changes b"]
    assert "## Not on this branch" in file.read_text()
    found = said(monkeypatch, Served(night.view()), "--text", str(tmp_path / "none" / "x.md"))
    assert isinstance(found.exception, InvalidRequest)


def test_all_of_it_on_the_target_already_is_no_fault(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(monkeypatch, Served(night.view()))
    found = said(monkeypatch, Served(night.view()), "--onto", "take/abcdef12", "--branch", "again")
    assert found.exit_code == 0
    assert "no branch was made: take/abcdef12 has all of it already" in found.output


def test_run_compares_the_last_commit_with_the_best(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(night.view(best=BEST), 0.5)
    served.found = {"score": 0.92}
    found = said(monkeypatch, served, "--run")
    assert found.exit_code == 0
    assert "gave score 0.92, within the best's 95 % interval 0.875 to 0.925" in found.output
    tip = sh(night.root, "rev-parse", "take/abcdef12")
    code = {"git_commit": tip, "snapshot": tip}
    assert served.asked == [{"path": "POST /runs/r1/rerun", "checkout": code}]

    beginning = Checkout(git_commit="a" * 40)
    served = Served(night.view(best=BEST), 0.5, 0.5, evaluate="python eval.py", beginning=beginning)
    served.found = {"score": 0.7}
    found = said(monkeypatch, served, "--run", "--branch", "second")
    assert found.exit_code == 4 and "not within" in found.output
    assert served.asked[1]["command"] == "python eval.py"
    assert served.asked[1]["env"] == {"WILDLOOP_EVALUATED_RUN_DIR": "d"}
    assert served.asked[1]["checkout"] == {"git_commit": "a" * 40}
    assert "not within" in (night.root / OWN / "pull_request.md").read_text()
