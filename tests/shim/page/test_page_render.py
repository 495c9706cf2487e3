"""What comes from runs and agents is shown as text, whatever it says."""

import re
from importlib.resources import files
from typing import Any

import pytest

from wildloop.flows.models.alert import Alert, AlertKind, Severity
from wildloop.flows.models.run import Run, RunCounts, RunStatus
from wildloop.flows.models.session_record import IterationRecord
from wildloop.shim.page.render import bars, duration, environment, markdown, number, render, spark
from wildloop.shim.page.table import Wanted, columns, in_order, matching

EVIL = """"'><img src=x onerror=alert(1)><script>alert(1)</script>{{ 7 * 7 }}"""


def run(number: int = 1, **fields: Any) -> Run:
    body = {
        "id": f"run-{number}",
        "name": f"run {number}",
        "command": "true",
        "workdir": "/w",
        "status": RunStatus.FINISHED,
        "created_at": float(number),
        "run_dir": "/w/run",
    }
    return Run.model_validate(body | fields)


def test_no_template_lets_anything_through_unescaped() -> None:
    folder = files("wildloop.shim.page") / "templates"
    texts = [
        one.read_text()
        for place in (folder, folder / "part")
        for one in place.iterdir()
        if one.name.endswith(".j2")
    ]
    assert len(texts) > 15
    for text in texts:
        assert "|safe" not in text.replace(" ", "") and "autoescape" not in text
        assert "<script>" not in text and "style=" not in text
        assert not re.search(r"\son\w+=", text)
    assert environment().autoescape is True


def test_a_runs_texts_are_text() -> None:
    evil = run(
        name=EVIL,
        command=EVIL,
        parameters={EVIL: EVIL},
        metrics={EVIL: 1.0},
        reason=EVIL,
        error=EVIL,
        unmeasured=EVIL,
        host=EVIL,
        gpus=[EVIL],
    )
    given = {"run": evil, "path": "/", "needs_login": True}
    table = {
        "rows": [evil],
        "wanted": Wanted(q=EVIL[:200]),
        "link": lambda **_: "/page/runs",
        "plots": "/page/runs/plots",
        "account": None,
        "parameters": [EVIL],
        "metrics": [EVIL],
        "has_more": False,
        "total": 1,
        "PARAMETER": "p:",
        "METRIC": "m:",
        "mark": "",
    }
    for text in (render("run.html.j2", given), render("part/runs.html.j2", table)):
        assert "<img" not in text and "<script>" not in text
        assert "&lt;img" in text and "{{ 7 * 7 }}" in text


def test_an_alerts_texts_are_text() -> None:
    alert = Alert(
        id="a",
        run_id="r",
        kind=AlertKind.CUSTOM,
        severity=Severity.WARNING,
        message=EVIL,
        choices=[EVIL, "stop"],
        created_at=1.0,
    )
    text = render("part/alerts.html.j2", {"look": {"alerts": [alert]}})
    assert "<img" not in text and "<script>" not in text
    assert text.count("<button") == 2


@pytest.mark.parametrize(
    "text",
    [
        EVIL,
        "[a](javascript:alert(1))",
        "![a](http://elsewhere/x.png)",
        "<iframe src=x></iframe>",
        "[a](data:text/html,x)",
        "`<script>`",
        "| a |\n| --: |\n| <b onclick=x>1 |",
    ],
)
def test_markdown_of_agents_makes_no_active_html(text: str) -> None:
    html = str(markdown(text))
    assert not re.search(r"<(img|script|iframe|b )|href=\"(javascript|data)|style=", html)


def test_the_library_files_are_those_that_are_named() -> None:
    import hashlib

    folder = files("wildloop.shim.page") / "static"
    rows = re.findall(
        r"^\| (\S+\.(?:js|css)) \|.*\| (\w{64}) \|$", (folder / "VENDORED.md").read_text(), re.M
    )
    assert len(rows) == 4
    for name, digest in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_numbers_durations_and_bars() -> None:
    assert (number(0.123456789), number(None)) == ("0.12346", "\N{EN DASH}")
    assert [duration(one) for one in (1.234, 125, 7500)] == ["1.2 s", "2 min 5 s", "2 h 5 min"]
    counts = RunCounts(total=4, completed=3, failed=1)
    assert bars(counts) == [("finished", 0.0, 75.0), ("failed", 75.0, 25.0)]
    assert spark([1.0]) == "" and spark([1.0, float("inf")]) == ""
    assert "polyline" in spark([1.0, 2.0, 2.0]) and "NaN" not in spark([3.0, 3.0])


def test_rows_are_sorted_by_any_column_and_those_without_a_value_come_last() -> None:
    rows = [
        run(1, parameters={"lr": 0.1}, metrics={"acc": 0.5}),
        run(2, parameters={"lr": "auto"}),
        run(3, parameters={"lr": 10}, metrics={"acc": 0.9}),
    ]
    ids = lambda found: [one.id[-1] for one in found]  # noqa: E731
    assert ids(in_order(rows, "p:lr", "up")) == ["1", "3", "2"]
    assert ids(in_order(rows, "m:acc", "down")) == ["3", "1", "2"]
    assert ids(in_order(rows, "created", "down")) == ["3", "2", "1"]
    assert ids(in_order(rows, "no such", "up")) == ["1", "2", "3"]
    assert ids(matching(rows, Wanted(q="LR=0.1"))) == ["1"]
    assert ids(matching(rows, Wanted(status=RunStatus.FAILED))) == []
    assert columns(rows) == (["lr"], ["acc"])


def test_the_time_line_says_which_of_several_researchers_was_called() -> None:
    calls = [
        IterationRecord(index=1, started_at=1.0, finished_at=2.0, researcher=2),
        IterationRecord(index=2, started_at=3.0, finished_at=4.0),
    ]
    text = render("part/timeline.html.j2", {"session": {"session_id": "s"}, "calls": calls})
    assert re.findall(r"researcher \d+", text) == ["researcher 2"]
