"""The client of a user's own program, on a real server."""

from pathlib import Path

import pytest

import wildloop
from tests.support.server import Server
from wildloop import ClientError, WaitedTooLong
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.models.run import RunStatus
from wildloop.shim.net import free_ports

pytestmark = pytest.mark.server


@pytest.fixture
def client(server: Server) -> wildloop.Client:
    return wildloop.connect(server.url, server.token)


def test_a_submitted_run_is_waited_for_and_read(client: wildloop.Client, project: Path) -> None:
    run = client.submit(
        "echo 'score: 0.5'; echo done", parameters={"lr": 0.1}, seed=3, workdir=project
    )
    ended = run.wait(60)
    assert (ended.status, ended.exit_code, ended.seed) == (RunStatus.FINISHED, 0, 3)
    assert "done" in run.log()
    assert run.log(tail_bytes=5) == "done\n"
    assert run.metrics().last == {"score": 0.5}
    assert client.run(run.id[:12]).id == run.id
    assert run.rerun().wait(60).parent_run_id == run.id


def test_a_run_is_stopped(client: wildloop.Client, project: Path) -> None:
    run = client.submit("sleep 600", gpus=0, workdir=project)
    with pytest.raises(WaitedTooLong, match=run.id):
        run.wait(0.5)
    run.stop()
    assert client.wait([run], 60)[0].record.status is RunStatus.STOPPED


def test_runs_are_listed_by_status(client: wildloop.Client, project: Path) -> None:
    run = client.submit("true", workdir=project)
    run.wait(60)
    found = client.runs(None, status="finished")
    assert run.id in [one.id for one in found]
    assert len(found[:1]) == 1
    with pytest.raises(ValueError, match="'done' is not a valid RunStatus"):
        client.runs(status="done")


def test_an_option_that_does_not_exist_is_refused(client: wildloop.Client) -> None:
    with pytest.raises(InvalidRequest, match=r"no option gpu: there are .*gpus"):
        client.submit("true", gpu=1)
    with pytest.raises(InvalidRequest, match="max_iterations"):
        client.start("Raise the score", max_iterations=0)


def test_what_the_server_refuses_is_an_error_of_ours(client: wildloop.Client) -> None:
    with pytest.raises(ClientError, match="no session") as refused:
        client.session("0" * 36)
    assert refused.value.status_code == 404


def test_a_wrong_token_is_told_at_once(server: Server) -> None:
    with pytest.raises(ClientError, match="missing or wrong token"):
        wildloop.connect(server.url, "wrong")


def test_no_server_is_told_at_once() -> None:
    with pytest.raises(wildloop.ServerAway, match="wildloop up"):
        wildloop.connect(f"http://127.0.0.1:{free_ports(1)[0]}")


def test_a_session_is_read_and_stopped(client: wildloop.Client, project: Path) -> None:
    session = client.start("Raise the score", project, agent="command:sleep 600")
    assert session.id in [one.id for one in client.sessions()]
    assert client.session(session.id[:13]).status().goal == "Raise the score"
    assert session.runs().to_frame is not None and len(session.runs()) == 0
    assert "Raise the score" in session.report(now=True)
    session.stop(stop_runs=True)
    assert not session.wait(60).is_active
