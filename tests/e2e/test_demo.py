"""The main job: `wildloop demo`, as a newcomer runs it, and its report, number by number."""

import csv
import io
import json
import re
import signal
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.pace import patient
from tests.support.project import git
from tests.support.server import command_environment, end_politely, wait_for

pytestmark = pytest.mark.e2e
METRIC = "val_accuracy"
# A run as the report names it: [name](<.../id>) `beginning of the id`.
RUN = r"\[[^\]]*\]\(<[^>]*/([0-9a-f-]{36})>\) `[0-9a-f]{8}`"
# Not those that a mean is not taken from: "(seed 0: 0.9, not counted)".
SEEDED = re.compile(RUN + r" \(seed \d+: ([^),]+)(?:, chose it)?\)")
CHOSE = re.compile(RUN + r" \(seed \d+: [^),]+, chose it\)")


@dataclass
class Demo:
    """A demo that has done its work and whose server still answers."""

    project: Path
    text: str
    http: httpx.Client

    @property
    def session(self) -> Path:
        """The session's folder."""
        return next((self.project / ".wild" / "sessions").iterdir())

    @property
    def report(self) -> str:
        """report.md."""
        return (self.session / "report.md").read_text(encoding="utf-8")

    def section(self, title: str) -> str:
        """One section of the report."""
        return self.report.partition(f"\n## {title}\n")[2].partition("\n## ")[0]

    def rows(self, title: str) -> list[list[str]]:
        """The cells of a section's table, without its head."""
        lines = [line for line in self.section(title).splitlines() if line.startswith("| ")]
        return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]

    def get(self, path: str, **params: Any) -> Any:
        """GET with success, as JSON."""
        answer = self.http.get(path, params=params)
        assert answer.is_success, answer.text
        return answer.json()

    def values(self) -> dict[str, float]:
        """The metric of every run that has one, by the API."""
        runs = self.get("/runs", limit=1000)
        return {run["id"]: run["metrics"][METRIC] for run in runs if METRIC in run["metrics"]}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The demo in a folder with a blank, left up."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-P", "-m", "wildloop.shim.cli.main", "demo", "--keep", "my demo"]
    process = subprocess.Popen(
        [*command, "--keep-up", "--time-limit", "3600"],
        cwd=folder,
        env=command_environment(folder / "unused home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lines.extend, args=(process.stdout,), daemon=True)
    reader.start()

    def done() -> bool:
        return process.poll() is not None or "stays up" in "".join(lines)

    try:
        wait_for(done, "the demo is done", 120, sign=lambda: len(lines))
        text = "".join(lines)
        assert process.poll() is None, text[-3000:]
        (url,) = re.findall(r"server ready after [\d.]+ s: (\S+)/docs", text)
        token = (folder / "my demo" / "home" / "token").read_text().strip()
        with httpx.Client(
            base_url=url, headers={"X-Auth-Token": token}, timeout=patient(60)
        ) as http:
            yield Demo(folder / "my demo" / "digits", text, http)
        process.send_signal(signal.SIGINT)
        assert process.wait(patient(60)) == 0, "".join(lines)[-3000:]
        assert not (folder / "unused home").exists()
    finally:
        end_politely(process)


def test_demo_beats_the_baseline(demo: Demo) -> None:
    session = demo.get("/wild/v2/status")
    assert session["status"] == "completed"
    assert session["best"]["value"] > session["baseline"]["value"]
    assert "result " in demo.text and "report.html" in demo.text
    assert "on the baseline's" in demo.section("Result")
    assert " % higher, " in demo.report.partition("\n## ")[0]


def test_demo_commits_every_iteration_and_never_takes_more_than_its_slots(demo: Demo) -> None:
    subjects = git(demo.project, "log", "--format=%s", "--branches").splitlines()
    last = demo.get("/wild/v2/status")["iteration"]
    assert last >= 6
    for iteration in range(1, last + 1):
        assert any(f"iteration-{iteration:02d}" in subject for subject in subjects), iteration
    paths = (demo.project / ".wild" / "runs").glob("*/manifest.json")
    manifests = [json.loads(path.read_text()) for path in paths]
    finished = [one for one in manifests if one["exit_code"] == 0]
    assert len(finished) >= 24
    for moment in sorted(one["started_at"] for one in finished):
        held = [one for one in finished if one["started_at"] <= moment < one["finished_at"]]
        assert len(held) <= 2


def test_demo_reflects_at_both_gates_and_keeps_lessons(demo: Demo) -> None:
    history = demo.get("/wild/v2/status", history="all")["history"]
    decisions = [it["continue_session"] for it in history if it["kind"] == "reflection"]
    assert decisions == [True, False]
    tasks = (demo.session / "tasks.md").read_text(encoding="utf-8")
    assert len(re.findall(r"- \[x\] \[P\d-T\d\] Reflection gate", tasks)) == 2
    assert demo.section("Lessons").count("\n- ") >= 1


def test_demo_has_an_evolutionary_sweep_whose_trials_are_runs(demo: Demo) -> None:
    session = demo.get("/wild/v2/status")["session_id"]
    sweep = demo.get(f"/wild/v2/evo-sweep/{session}")
    assert sweep["status"] == "completed"
    known, rows = demo.values(), demo.rows("Evolutionary sweeps")
    assert len(rows) == sum(one["status"] == "finished" for one in sweep["state"]["trials"]) >= 6
    for row in rows:
        run = re.search(RUN, row[2])
        assert run is not None and row[-1] == f"{known[run[1]]:.6g}"


def test_demo_has_an_ablation_over_seeds_that_can_be_recalculated(demo: Demo) -> None:
    reference = demo.section("Ablation").partition("\n\n|")[0]
    # The seed that chose a configuration is none that shows what it is worth.
    chose = set(CHOSE.findall(reference))
    mean = statistics.fmean(value for id, value in checked(demo, reference) if id not in chose)
    rows = demo.rows("Ablation")
    assert rows
    for removed, runs, seeds, shown, difference, *_ in rows:
        assert " -> " in removed
        values = [value for _, value in checked(demo, runs)]
        assert len(values) == int(seeds) >= 2
        assert shown == f"{statistics.fmean(values):.6g}"
        assert difference == f"{statistics.fmean(values) - mean:+.4g}"


def test_every_number_of_the_result_is_that_of_its_runs(demo: Demo) -> None:
    ranked, behind = demo.rows("Result"), demo.rows("Runs behind the numbers")
    fresh: dict[str, list[float]] = {}
    own = [row for row in behind if not row[0].endswith(", further seeds")]
    assert ranked[0][0] == "best" and len(ranked) == len(own) >= 2
    for role, settings, seeds, mean, spread, runs in behind:
        values = [value for _, value in checked(demo, runs)]
        chose = set(CHOSE.findall(runs))
        # Of the best and the baseline the further seeds come last, and they are told.
        fresh[settings] = [v for id, v in checked(demo, runs) if id not in chose] or values
        assert len(values) == int(seeds)
        assert mean == f"{statistics.fmean(values):.6g}"
        assert spread == (f"{statistics.stdev(values):.3g}" if len(values) > 1 else "-")
        assert role.removesuffix(", further seeds") in {row[0] for row in ranked}
    for one, (role, _, value, seeds, gain, *_) in zip(own, ranked, strict=True):
        mine = fresh[one[1]]
        assert value.split(" ")[0] == f"{statistics.fmean(mine):.5g}" and int(seeds) == len(mine)
        if role == "best":
            base = next(fresh[row[1]] for row in own if row[0] == "baseline")
            told = statistics.fmean(mine) - statistics.fmean(base)
            assert gain.split(" ")[0] == f"{told:+.4g}"


def test_every_row_of_the_table_of_runs_is_that_run(demo: Demo) -> None:
    runs = {run["id"]: run for run in demo.get("/runs", limit=1000)}
    rows = demo.rows("Runs")
    assert len(rows) == len(runs)
    for row in rows:
        match = re.search(RUN, row[0])
        assert match is not None
        run = runs[match[1]]
        assert row[2] == run["status"]
        value = run["metrics"].get(METRIC)
        assert row[6] == ("-" if value is None else f"{value:.6g}")


def test_commands_of_the_report_reproduce_the_best(demo: Demo, tmp_path: Path) -> None:
    text = demo.section("Reproduce the best")
    run = re.search(RUN, text)
    block = re.search(r"```bash\n(.*?)```", text, re.DOTALL)
    assert run is not None and block is not None
    done = subprocess.run(
        ["bash", "-e", "-c", block[1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert done.returncode == 0, done.stderr
    value = float(done.stdout.rpartition(f"{METRIC}: ")[2])
    assert value == pytest.approx(demo.values()[run[1]], abs=1e-6)


def test_report_comes_as_page_and_table_too(demo: Demo, tmp_path: Path) -> None:
    session = demo.get("/wild/v2/status")["session_id"]
    page = (demo.session / "report.html").read_text(encoding="utf-8")
    assert demo.http.get(f"/wild/v2/report/{session}/html").text == page
    assert page.count("<svg") >= 10, "each picture in a wide and in a narrow form"
    table = demo.http.get(f"/wild/v2/report/{session}/runs.csv").text
    assert table.count("\n") == 1 + len(demo.get("/runs", limit=1000))
    anew = demo.get(f"/wild/v2/report/{session}", now=True)
    assert anew["report_path"] is None
    assert findings_of(anew["report"]) == findings_of(demo.report)
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "wildloop.shim.cli.main",
            "report",
            "--html",
            str(tmp_path / "r.html"),
        ],
        env=command_environment(demo.project.parent / "home"),
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert done.returncode == 0, done.stderr
    sent = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert sent.count("<svg") == page.count("<svg") and "127.0.0.1" in page
    assert "127.0.0.1" not in sent and str(demo.project) not in sent
    pdf = demo.http.get(f"/wild/v2/report/{session}/share/pdf").content
    assert pdf.startswith(b"%PDF-") and len(pdf) > 50_000
    table = demo.http.get(f"/wild/v2/report/{session}/table/csv").text
    (best,) = [one for one in csv.DictReader(io.StringIO(table)) if one["standing"] == "best"]
    said = demo.get("/wild/v2/status")["best"]
    assert float(best["mean"]) == pytest.approx(said["value"]) and int(best["n"]) == said["n"]
    assert r"\toprule" in demo.http.get(f"/wild/v2/report/{session}/table/tex").text


def findings_of(report: str) -> str:
    """A report without how long its session took: when it is written, that is not over."""
    return re.sub(r"It took .*$", "", report.partition("\n## Session")[0], flags=re.M)


def checked(demo: Demo, text: str) -> list[tuple[str, float]]:
    """(id, value) of each run with its seed in a text, after a look at the API."""
    known = demo.values()
    found = [(id, shown) for id, shown in SEEDED.findall(text)]
    assert found, text
    for id, shown in found:
        assert shown == f"{known[id]:.6g}"
    return [(id, known[id]) for id, _ in found]
