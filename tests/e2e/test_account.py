"""One account of the evidence: every number of played sessions, recomputed by other means."""

import copy
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.account.checker import Checker
from tests.account.files import files_of
from tests.account.play import Played, begin, ended
from tests.account.scenarios import LONG, SCENARIOS
from tests.account.statistics import interval
from tests.support.project import git
from tests.support.server import Server
from tests.support.waiting import wait_for
from wildloop.flows.models.session import Session
from wildloop.shim.cli.view import summary_lines

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]
every_scenario = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name == LONG)) for name in SCENARIOS]
)


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Played]]:
    """All that are selected, two at a time: the night, and beside it one after the other."""
    folder = tmp_path_factory.mktemp("account")

    def play(name: str) -> Played:
        project, notes, id = begin(server, folder / name.replace(" ", "-"), name)
        wait_for(lambda: is_over(server, id), f"{name} ends", 300, sign=server.pulse, pauses=(2, 3))
        session = server.session(id)
        assert session["status"] == "completed", session["error"]
        return ended(server, name, project, notes, id, told(session))

    selected = [item.name for item in request.session.items if LONG in item.name]
    names = sorted(
        [name for name in SCENARIOS if name != LONG or selected],
        key=lambda name: -len(SCENARIOS[name].iterations),
    )
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(names, pool.map(play, names), strict=True))
    digest, text = json.loads(printed(server, "digest", "--json")), printed(server, "digest")
    yield {name: replace(one, digest=digest, digest_text=text) for name, one in found.items()}


def printed(server: Server, *words: str) -> str:
    """What a `wildloop` command prints."""
    env = server.env | {"WILDLOOP_SERVER_URL": server.url}
    done = subprocess.run(["wildloop", *words], env=env, check=True, capture_output=True, text=True)
    return done.stdout


def is_over(server: Server, id: str) -> bool:
    """Whether a session has ended; a look costs the server, so only few are taken."""
    return not server.get("/wild/v2/status", session_id=id)["is_active"]


def told(session: dict[str, Any]) -> str:
    """What `wildloop status` prints of a result."""
    lines = "\n".join(summary_lines(Session.model_validate(session)))
    return "\n".join(re.findall(r"^ +(?:verdict|target|best|candidate) .*", lines, re.M))


@every_scenario
def test_every_number_is_what_the_runs_files_give(played: Mapping[str, Played], name: str) -> None:
    checker = Checker(played[name])
    assert checker.check() == []
    assert checker.numbers > 80
    assert played[name].told


def test_what_is_confirmed_is_told_by_seeds_that_decided_nothing(
    played: Mapping[str, Played],
) -> None:
    session = played["borne out"]
    (best,) = [
        one for one in session.evidence["configurations"] if one["id"] == session.evidence["best"]
    ]
    assert (best["comparison"]["further"], len(best["further"]["values"])) == (3, 3)
    assert not set(best["further"]["seeds"]) & set(best["estimate"]["seeds"])
    for text in (session.status["headline"], session.told, session.digest_text, session.report):
        assert "by 3 further seeds of each, which have decided nothing" in text


def test_a_wrong_number_anywhere_is_found(played: Mapping[str, Played]) -> None:
    session = played["most seeds"]
    true = session.status["best"]["value"]
    wrong: dict[str, Any] = {
        "status": session.status | {"best": session.status["best"] | {"value": true + 0.001}},
        "report": session.report.replace("0.785 ±", "0.786 ±"),
        "told": session.told.replace("+0.075", "+0.076"),
        "digest_text": session.digest_text.replace("+0.075", "+0.076"),
        "digest": changed(session),
    }
    for name, value in wrong.items():
        assert Checker(replace(session, **{name: value})).check(), name


def changed(session: Played) -> dict[str, Any]:
    """Its digest with another run failed."""
    digest: dict[str, Any] = copy.deepcopy(session.digest)
    (one,) = [one for one in digest["sessions"] if one["session_id"] == session.session_id]
    one["runs"]["failed"] += 1
    return digest


@every_scenario
def test_the_commands_of_the_report_give_the_value_again(
    played: Mapping[str, Played], name: str, tmp_path: Path
) -> None:
    session = played[name]
    back = session.report.partition("\n## Reproduce the ")[2]
    block = re.search(r"^```bash\n(.*?)^```", back, re.M | re.S)
    named = re.search(r"^Run .*`(\w{8})`.*, with its seed (\d+), gave `\w+` ([\d.]+)", back, re.M)
    assert block and named
    env = os.environ | {"WILDLOOP_RUN_DIR": str(tmp_path)}
    subprocess.run(["bash", "-ec", block[1]], env=env, check=True, capture_output=True)
    last = (tmp_path / "metrics.jsonl").read_text().splitlines()[-1]
    value = json.loads(last)[session.scenario.metric]
    assert f"{value:.6g}" == named[3]
    # What was named is one of those that count, and its value lies in the interval of their mean.
    checker = Checker(session)
    best = checker.account.best
    assert best is not None
    assert best.compared[named[2]] == value
    ran = [run for run in best.runs if run.id.startswith(named[1])]
    assert [(run.value, run.is_own) for run in ran] == [(value, len(best.own) > 1)]
    if len(best.compared) > 1:
        low, high = interval(best.compared)
        assert low <= value <= high
    head = git(session.project, "rev-parse", session.status["branch"]).strip()
    if "are the very files" in back:
        assert files_of(session.project, head) == best.runs[0].code
        assert f'worktree add --detach "$copy" {session.status["branch"]}' in block[1]


def test_what_each_session_comes_to(played: Mapping[str, Played]) -> None:
    assert "nothing is shown" in played["noise"].status["headline"]
    levels = [one["level"] for one in played["noise"].evidence["configurations"]]
    assert levels.count("confirmed") == 2, "the baseline, and what had luck"
    for name in {"night", LONG} & played.keys():
        rows, last = played[name].results["rows"], len(SCENARIOS[name].iterations)
        assert [row["iteration"] for row in rows] == [*range(1, 12), *range(13, last + 1)]
        wins = [row for row in rows if row["status"] == "keep" and row["p"] is not None]
        assert [row["iteration"] for row in wins] == [2, 4, 10, 18]
    rows = played["night"].results["rows"]
    statuses = {row["iteration"]: row["status"] for row in rows}
    assert (statuses[11], statuses[13], statuses[14]) == ("ablation", "crash", "withdrawn")
    ablated = [row["verdict"] for row in played["night"].evidence["ablation"]["rows"]]
    assert ablated[:3] == ["needed"] * 3 and ablated[3] != "needed"


def test_seeds_of_the_best_are_not_pooled_with_the_code_that_comes_after(
    played: Mapping[str, Played],
) -> None:
    session = played["pooled code"]
    row = session.results["rows"][1]
    assert (row["status"], round(row["p"], 4)) == ("keep", 0.0085)
    told = "1.4 ± 0.32 (n=5)", "2 ± 0.32 (n=5)"
    last = max(session.notes.glob("prompt-*.md")).read_text()
    for text in (row["why"], session.told, session.status["headline"], session.report, last):
        assert all(one in text.replace("\\", "") for one in told)
    branch = session.status["branch"]
    assert "C = 1.4" in git(session.project, "show", f"{branch}:train.py")


def test_runs_of_faulty_code_are_a_configuration_of_their_own(
    played: Mapping[str, Played],
) -> None:
    session = played["corrected code"]
    row = session.results["rows"][1]
    assert row["status"] == "discard"
    assert "1.7667 ± 0.31 (n=3) against 1.8667 ± 0.31 (n=3)" in row["why"]
    assert "other code than this iteration has left" in row["warnings"]
    assert round(session.status["best"]["value"], 4) == 1.8667
    branch = session.status["branch"]
    assert "C = 2.0" in git(session.project, "show", f"{branch}:train.py")


def test_the_best_is_what_is_shown_not_what_has_most_seeds_or_most_luck(
    played: Mapping[str, Played],
) -> None:
    session = played["most seeds"]
    best, gain = session.status["best"], session.status["gain"]
    assert (best["configuration"], round(best["value"], 4), best["n"]) == (
        "lr=0.3, width=8",
        0.785,
        3,
    )
    assert round(gain["gain"], 4) == 0.075 and gain["p"] < 0.001
    (candidate,) = session.status["candidates"]
    assert candidate.startswith("lr=0.9, width=8: 0.83 (n=1)")
    standing = {one["label"]: one["standing"] for one in session.evidence["configurations"]}
    assert standing["lr=0.1, width=32"] == "not shown to be better"


def test_of_equal_ones_the_simplest_is_the_best_and_the_tie_is_said(
    played: Mapping[str, Played],
) -> None:
    session = played["tie"]
    best = session.status["best"]
    assert (best["configuration"].partition(" (code ")[0], best["n"]) == ("lr=0.1, width=32", 1)
    for text in (session.status["headline"], session.told, session.report):
        assert re.search(
            r"\+0\.1 on (?:the baseline's|what stands for the baseline,) 0\.9 ± 0 ", text
        )
        assert ", exact" in text
        assert "as good, with 2 more lines of code: lr=0.1, width=8 (code " in text
        assert " and 2 more" in text


def test_what_has_its_verdict_is_not_withdrawn(
    server: Server, played: Mapping[str, Played]
) -> None:
    best = played["most seeds"].status["best"]["run_id"]
    answer = server.http.post(f"/runs/{best}/withdraw", json={"reason": "a bad seed"})
    assert answer.status_code == 409 and "has its verdict" in answer.text
