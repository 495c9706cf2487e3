"""The command line, as a subprocess."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console

from tests.support.pace import patient
from tests.support.server import Server, command_environment
from wildloop.flows.models.evidence import BestResult, Comparison
from wildloop.flows.models.run import RunCounts
from wildloop.flows.models.session import (
    PhaseProgress,
    Session,
    SessionStatus,
    TaskProgress,
)
from wildloop.flows.models.session_record import Phase
from wildloop.shim.cli import demo
from wildloop.shim.cli.demo import verdict
from wildloop.shim.cli.view import best_text, change_line, panel, summary_lines
from wildloop.shim.net import free_ports


def wildloop(
    home: Path, *arguments: str, extra: dict[str, str] | None = None, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-m", "wildloop.shim.cli.main", *arguments],
        env=command_environment(home) | (extra or {}),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=patient(60),
    )


def test_help_is_light() -> None:
    code = (
        "import sys; from wildloop.shim.cli.main import application; application(); "
        "print([m for m in ('prefect', 'fastapi', 'uvicorn', 'optuna') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_server_is_one_line_with_the_mend(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    done = wildloop(tmp_path, "status", extra={"WILDLOOP_SERVER_URL": f"http://127.0.0.1:{port}"})
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "start one with `wildloop up`" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["start", "", "--workdir", "."], "goal"),
        (["start", "x", "--branch", "sideways"], "branch"),
        (["start", "x", "--keep", "best"], "keep"),
        (["start", "x", "--keep-alpha", "0.9"], "keep_alpha"),
        (["start", "x", "--researchers", "2"], "wildloop: researchers: 2 need keep: better"),
        (["stop", "--runs", "maybe"], "keep or stop"),
        (["up", "--host", "0.0.0.0", "--no-token"], "without a token"),
        (["up", "--workdir", "/no/such/folder"], "/no/such/folder"),
        (["deploy"], "PREFECT_API_URL"),
    ],
)
def test_bad_usage_is_refused_without_a_traceback(
    tmp_path: Path, arguments: list[str], part: str
) -> None:
    done = wildloop(tmp_path, *arguments)
    assert done.returncode != 0
    assert part in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.e2e
def test_taken_port_is_named_before_anything_starts(server: Server, tmp_path: Path) -> None:
    done = wildloop(tmp_path / "other", "up", "--port", str(server.port))
    assert done.returncode != 0
    assert str(server.port) in done.stderr
    assert "--port" in done.stderr
    assert not (tmp_path / "other" / "postgres").exists()


@pytest.mark.e2e
def test_commands_find_the_running_server_by_themselves(server: Server) -> None:
    run = server.ended(server.run("echo hello; echo 'score: 2'", name="cli-run")["id"])
    listed = json.loads(wildloop(server.home, "runs", "--limit", "5", "--json").stdout)
    assert run["id"] in [one["id"] for one in listed]
    assert "cli-run" in wildloop(server.home, "runs").stdout
    assert wildloop(server.home, "logs", run["id"][:13]).stdout == "hello\nscore: 2\n"
    doctor = wildloop(server.home, "doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert server.token not in doctor.stdout
    assert "2 slots" in doctor.stdout


@pytest.mark.e2e
def test_unknown_and_ambiguous_ids_are_told(server: Server) -> None:
    done = wildloop(server.home, "logs", "zzz")
    assert done.returncode == 1
    assert "no run with an id that begins with 'zzz'" in done.stderr
    wrong = wildloop(server.home, "runs", extra={"WILDLOOP_AUTH_TOKEN": "wrong"})
    assert wrong.returncode == 1
    assert "token" in wrong.stderr


@pytest.mark.e2e
def test_follow_prints_a_log_until_the_run_ends(server: Server) -> None:
    run = server.run("for i in 1 2 3; do echo line $i; sleep 0.4; done")
    done = wildloop(server.home, "logs", run["id"], "-f")
    assert done.stdout == "line 1\nline 2\nline 3\n"


def session(**changes: object) -> Session:
    fields: dict[str, object] = {
        "session_id": "s",
        "goal": "g",
        "workdir": "/w",
        "agent": "baseline",
        "status": SessionStatus.COMPLETED,
        "phase": Phase.ENDED,
        "is_active": False,
        "iteration": 3,
        "max_iterations": 9,
        "session_dir": "/w/.wild",
        "runs": RunCounts(total=14, completed=13, failed=1),
        "best": result(0.97),
        "baseline": result(0.9),
        "gain": Comparison(test="Welch t", gain=0.07, p=0.001, established=True),
        "headline": "m 0.97 (lr=1), +0.07 on the baseline's 0.9",
        "report_path": __file__,
    }
    return Session.model_validate(fields | changes)


def result(value: float) -> BestResult:
    return BestResult(run_id="r", run_name="n", metric="m", value=value)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"gain": None}, "nothing is shown"),
        ({"gain": Comparison(test="Welch t", gain=0.07, p=0.4)}, "nothing is shown"),
        ({"best": None}, "no best"),
        ({"runs": RunCounts(total=11, completed=11)}, "11 runs finished"),
        ({"report_path": None}, "no report"),
        ({"report_path": "/no/such/report.md"}, "no report"),
        ({"status": SessionStatus.FAILED, "error": "boom"}, "boom"),
        ({"is_active": True, "phase": Phase.WAITING}, "waiting"),
    ],
)
def test_verdict_of_the_demo(changes: dict[str, object], fault: str | None) -> None:
    faults = verdict(session(**changes))
    if fault is None:
        assert faults == []
    else:
        assert any(fault in text for text in faults)


def test_demo_is_refused_at_the_door_where_its_runs_could_import_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "IMPORTED", ("numpy", "a_package_that_is_not_there"))
    with pytest.raises(typer.Exit):
        demo.demo(keep=tmp_path / "demo")
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "a_package_that_is_not_there" in line and "'.[examples]'" in line
    assert "numpy" not in line.partition(", not")[0] and not (tmp_path / "demo").exists()


def test_views_show_what_matters() -> None:
    text = "\n".join(summary_lines(session(error="it broke")))
    phases = [PhaseProgress(number=2, title="Search", total=4, done=2, cancelled=1, open=1)]
    shown = summary_lines(session(tasks=TaskProgress(total=4, done=2, phases=phases)))
    assert "    phase 2 #######... 3/4 Search" in shown
    for part in ("0.97", "0.9", "+0.07", "13 finished", "1 failed", "it broke", "3 of at most 9"):
        assert part in text
    assert "best 0.97" in change_line(session())
    assert best_text(session(headline="")) == "none yet"


def test_views_show_breaches_of_the_rules() -> None:
    assert "breaches" not in "\n".join(summary_lines(session()))
    last = "iteration-02: edited 2 " + "x" * 300
    found = session(breaches=2, last_breach=last)
    (line,) = [one for one in summary_lines(found) if "breaches" in one]
    assert "2 of the rules; the last, in iteration-02: edited 2 x" in line
    assert len(line) < 270 and line.endswith("...")


def test_views_show_spending_and_what_is_waited_for() -> None:
    plain = "\n".join(summary_lines(session()))
    assert "agent     " not in plain and "budget" not in plain
    spent = session(
        budget={"hours": 8, "runs": 20},
        spent={"hours": 2.5, "runs": 7, "cost_usd": 1.234, "cost_is_estimate": True},
        usage={"input": 1000, "output": 50, "cache_read": 2000, "cache_write": 3},
        history=[{"index": 0, "kind": "planning", "started_at": 0.0, "cost_usd": 1.234}],
        note="waiting for the agent's rate limit until 12:00:00 UTC",
    )
    text = "\n".join(summary_lines(spent))
    assert "3,003 tokens in (2,000 from the cache), 50 out, $1.23 (estimate)" in text
    assert "hours 2.5 of 8, runs 7 of 20" in text
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(panel(spent, ["12:00:01 iteration-01 | ls [not markup]"]))
    shown = console.export_text()
    for part in ("3,003 tokens", "runs 7 of 20", "ls [not markup]"):
        assert part in shown and part not in plain
    assert "rate limit until 12:00:00" in shown and "rate limit until" in change_line(spent)
