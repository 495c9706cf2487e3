"""The harness on a real `wildloop up`, and its command line."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench import history, measures
from bench.engine import parse
from bench.figures import Measure, Report, Row
from bench.processes import BenchError, clean_environment, end, family, spawn, until, usage
from bench.subjects import PeerSubject
from tests.support.pace import patient
from tests.support.server import Server, alive, wait_for
from wildloop.flows.models.run import Run


@pytest.fixture
def peer(server: Server) -> PeerSubject:
    """The test session's server, measured as a peer is."""
    subject = PeerSubject(server.url, server.token, server.process.pid)
    subject.start(1)
    return subject


@pytest.mark.server
def test_a_peer_is_measured_by_its_base_url(peer: PeerSubject, tmp_path: Path) -> None:
    measures.warm_up(peer, tmp_path, 1)
    found = [
        *measures.first_byte(peer, tmp_path, 2),
        *measures.gap(peer, tmp_path, 4),
        *measures.throughput(peer, 3),
        *measures.idle(peer, 0.2),
        *measures.create_load(peer, 9),
        *measures.list_load(peer, 8),
        *measures.health_load(peer, 8),
    ]
    by_row = {figure.row: figure for figure in found}
    assert [len(by_row[row].values) for row in (Row.FIRST_BYTE, Row.CREATE, Row.LIST)] == [2, 9, 8]
    # A busy machine may start the second command only after the first has ended.
    assert by_row[Row.GAP].note in ("", "2 slots")
    assert min(by_row[Row.FIRST_BYTE].values) > 0
    assert min(by_row[Row.GAP].values) > 0
    assert by_row[Row.CPU_PER_RUN].median > 0
    assert by_row[Row.IDLE_RSS].median > 10
    assert all(figure.failures == 0 for figure in found)


@pytest.mark.server
def test_ten_at_once_each_have_their_own_time(peer: PeerSubject, tmp_path: Path) -> None:
    (figure,) = measures.burst(peer, tmp_path, 1)
    assert len(figure.values) == 10
    assert min(figure.values) > 0


class HalfRefusing(PeerSubject):
    """Refuses every second request."""

    asked = 0

    def submit(self, command: str) -> str:
        self.asked += 1
        if self.asked % 2:
            raise BenchError("503")
        return super().submit(command)


@pytest.mark.server
def test_refused_requests_of_a_burst_are_counted(server: Server, tmp_path: Path) -> None:
    subject = HalfRefusing(server.url, server.token)
    subject.start(1)
    (figure,) = measures.burst(subject, tmp_path, 1)
    assert (len(figure.values), figure.failures) == (5, 5)


@pytest.mark.server
def test_a_failing_command_is_told(peer: PeerSubject) -> None:
    with pytest.raises(BenchError, match="is failed: exit code 3"):
        measures.await_end(peer, peer.submit("exit 3"))


@pytest.mark.server
def test_a_wrong_token_is_told(server: Server) -> None:
    with pytest.raises(BenchError, match="GET /runs: 401"):
        PeerSubject(server.url, "wrong").start(1)


def test_a_peer_that_does_not_answer_is_told() -> None:
    with pytest.raises(BenchError, match="does not answer"):
        PeerSubject("http://127.0.0.1:9").start(1)


@pytest.mark.long
@pytest.mark.e2e
def test_the_command_prints_a_table_writes_json_and_leaves_nothing_behind(tmp_path: Path) -> None:
    json_file, scratch = tmp_path / "report.json", tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "bench.engine", "--quick", "--subjects", "wildloop"]
    command += ["--measures", "first-byte,list-one", "--probes", "1", "--history", "0,30"]
    done = subprocess.run(
        [*command, "--json", str(json_file)],
        env={**clean_environment(), "TMPDIR": str(scratch)},
        capture_output=True,
        text=True,
        timeout=patient(240),
    )
    assert done.returncode == 0, done.stderr + done.stdout
    report = Report.model_validate_json(json_file.read_text())
    assert {(one.row, one.recorded) for one in report.figures} == {
        (row, size) for row in (Row.FIRST_BYTE, Row.LIST_ONE) for size in (0, 30)
    }
    assert report.facts.others is not None
    assert "| request to first byte, idle (s) |" in done.stdout
    assert list(scratch.iterdir()) == []


@pytest.mark.long
@pytest.mark.e2e
def test_ctrl_c_ends_what_was_started_and_prints_what_there_is(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.engine", "--subjects", "wildloop", "--history", "0"]
    env = {**clean_environment(), "TMPDIR": str(tmp_path)}
    process = spawn(command, env, tmp_path / "log")
    tree = wait_for(
        lambda: found if len(found := family(process.pid)) > 4 else None, "children are started"
    )
    process.send_signal(signal.SIGINT)
    assert process.wait(patient(60)) == 1
    wait_for(lambda: not any(alive(one.pid) for one in tree), "the children have ended")
    assert "**cut**: interrupted" in (tmp_path / "log").read_text()


def test_ending_a_process_ends_its_grandchildren(tmp_path: Path) -> None:
    process = spawn(["bash", "-c", "setsid sleep 99 & wait"], clean_environment(), tmp_path / "log")
    tree = wait_for(lambda: found if len(found := family(process.pid)) > 1 else None, "a child")
    end(process, seconds=2.0)
    wait_for(lambda: not any(alive(one.pid) for one in tree), "all have ended")


def test_the_cpu_time_of_ended_children_counts(tmp_path: Path) -> None:
    burn = f"{sys.executable} -c 'sum(range(20_000_000))'; echo done; sleep 99"
    process = spawn(["bash", "-c", burn], clean_environment(), tmp_path / "log")
    try:
        wait_for(lambda: "done" in (tmp_path / "log").read_text(), "the child has ended")
        assert usage("burner", [process.pid]).cpu_seconds > 0.05
    finally:
        end(process, seconds=2.0)


def test_waiting_in_vain_is_told() -> None:
    with pytest.raises(BenchError, match=r"not within 0\.05 s: pigs fly"):
        until(lambda: None, "pigs fly", 0.05)


@pytest.mark.server
def test_recorded_runs_look_like_true_ones(server: Server, tmp_path: Path) -> None:
    body = history.recorded_run(7, tmp_path)
    path = "/deployments/name/experiment/wildloop"
    deployment = server.prefect.get(path).raise_for_status().json()
    made = server.prefect.post(f"/deployments/{deployment['id']}/create_flow_run", json=body)
    run = Run.model_validate(server.get(f"/runs/{made.raise_for_status().json()['id']}"))
    assert (run.status, run.exit_code, run.sweep_id) == ("finished", 0, "bench-0")
    assert run.metrics == {"loss": 0.25, "val_accuracy": 0.96}
    assert run.started_at is not None and run.seed == 7
    # What others write to Prefect is listed within a second.
    server.wait_for(
        lambda: [one["id"] for one in server.get("/runs", sweep_id="bench-0")] == [run.id],
        "the run is listed",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--subjects", "wildloop,nobody"], "--subjects: unknown nobody"),
        (["--measures", "speed"], "--measures: unknown speed"),
        (["--history", "0,many"], "--history: 'many' is no number"),
        (["--runs", "0"], "runs"),
        (["--requests", "3"], "requests"),
    ],
)
def test_a_wrong_option_is_named(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_quick_says_what_it_cuts() -> None:
    plan = parse(["--quick"])
    assert plan.history == [0, 100]
    assert "--quick: runs 200 -> 20" in plan.cuts
    assert parse([]).cuts == []


def test_a_peer_comes_beside_the_others() -> None:
    plan = parse(["--subjects", "wildloop", "--peer", "http://127.0.0.1:1", "--measures", "gap"])
    assert plan.subjects == ["wildloop", "peer"]
    assert plan.measures == [Measure.GAP]
