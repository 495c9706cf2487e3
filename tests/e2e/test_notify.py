"""Word of what happens: to channels, in quiet hours, and as the digest of a night."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.support.pace import patient
from tests.support.prefect import prefect_client
from tests.support.schedules import send_digest
from tests.support.script import STOP, Script, planned
from tests.support.server import Server, wait_for
from tests.support.sinks import HttpSink, SmtpSink, http_sink, smtp_sink
from wildloop.flows.news.channels import TOPICS, Channel, add, every_channel, remove
from wildloop.flows.news.urls import Service

pytestmark = pytest.mark.e2e


def wildloop(
    server: Server, *arguments: str, stdin: str = "", code: int = 0
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-P", "-m", "wildloop.shim.cli.main", *arguments],
        env=server.env,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=patient(120),
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path / "script")


@pytest.fixture(scope="module")
def http() -> Iterator[HttpSink]:
    with http_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def smtp() -> Iterator[SmtpSink]:
    with smtp_sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def channels(server: Server, http: HttpSink, smtp: SmtpSink) -> Iterator[None]:
    """A webhook that is told of all, a mail of ends alone, and two webhooks with quiet hours.

    Their spans cover the whole day: one of the two is quiet now.
    """
    hook = f"http://127.0.0.1:{http.port}"
    mail = f"smtp://me:pa55word@127.0.0.1:{smtp.port}?from=me@example.com&to=me@example.com"
    # By stdin: it is a secret.
    wildloop(server, "notify", "add", "webhook", "-", "--name", "team", stdin=f"{hook}/team?k=s3c")
    others = [
        (Channel(name="mail", service=Service.EMAIL, on=["ended"]), mail),
        (quiet_channel("early", "00:00-12:00"), f"{hook}/early"),
        (quiet_channel("late", "12:00-00:00"), f"{hook}/late"),
    ]

    async def make() -> None:
        async with prefect_client(server) as client:
            for channel, url in others:
                await add(client, channel, SecretStr(url))

    async def take_away() -> None:
        async with prefect_client(server) as client:
            for channel, _ in others:
                await remove(client, channel.name)
            assert await every_channel(client) == []

    asyncio.run(make())
    yield
    wildloop(server, "notify", "remove", "team")
    asyncio.run(take_away())


def quiet_channel(name: str, quiet: str) -> Channel:
    return Channel(name=name, service=Service.WEBHOOK, on=list(TOPICS), quiet=quiet)


def test_a_channel_is_shown_and_tried_without_its_url(
    server: Server, channels: None, http: HttpSink
) -> None:
    shown = wildloop(server, "notify", "list")
    assert "team" in shown.stdout and "quiet 00:00-12:00" in shown.stdout
    wildloop(server, "notify", "test", "team", "early", "late")
    for path in ("/team?k=s3c", "/early", "/late"):
        assert http.titles(path) == ["Wildloop: a test"]
    http.status = 500
    failed = wildloop(server, "notify", "test", "team", code=1)
    http.status = 200
    assert "channel 'team'" in failed.stderr and "500" in failed.stderr
    unknown = wildloop(server, "notify", "test", "nobody", code=1)
    assert unknown.stderr.count("\n") == 1
    found = server.prefect.post("/block_documents/filter", json={}).text
    logs = "".join(log.read_text() for log in [*server.home.rglob("*.log")])
    for text in (shown.stdout, shown.stderr, failed.stderr, found, logs):
        assert "s3c" not in text and "pa55word" not in text


def test_a_session_is_told_of_as_it_goes(
    server: Server, channels: None, http: HttpSink, smtp: SmtpSink, script: Script, project: Path
) -> None:
    trials = "".join(f"- goal: trial\n  command: echo score={lr}\n" for lr in (1, 2))
    script.reply(1, planned())
    script.reply(
        2, f"<summary>two trials</summary>\n<experiments>\n{trials}</experiments>\n"
    ).default(STOP)
    http.got.clear()
    smtp.mails.clear()
    session_id = server.start(project, script.agent, max_iterations=1)
    session = server.session_ended(session_id)
    run_id = server.get("/runs", chat_session_id=session_id)[0]["id"]
    server.post(f"/runs/{run_id}/alerts", {"message": "the loss is odd", "severity": "warning"})
    team = "/team?k=s3c"
    wait_for(lambda: len(http.titles(team)) >= 2, "the webhook is told")
    wait_for(lambda: smtp.mails, "the mail is there")
    ended = http.text(team, "Wildloop: session completed")
    assert session["headline"] in ended and session_id in ended
    assert "the loss is odd" in http.text(team, "Wildloop: warning alert")
    assert session["headline"] in " ".join(smtp.text().split())
    assert len(smtp.mails) == 1

    # Of the two with quiet hours one was told the same, the other nothing.
    def told() -> list[str]:
        return sorted(http.titles("/early") + http.titles("/late"))

    wait_for(lambda: told() == sorted(http.titles(team)), "the other is told the same")
    assert not http.titles("/early") or not http.titles("/late")

    digest = json.loads(wildloop(server, "digest", "--hours", "1", "--json").stdout)
    mine = next(one for one in digest["sessions"] if one["session_id"] == session_id)
    assert (mine["best"], mine["baseline"]) == (session["best"], session["baseline"])
    assert mine["headline"] == session["headline"] and mine["open_alerts"] == 1
    sent = send_digest(server.prefect, {"hours": 1, "to": ["team", "mail", "nobody"]})
    assert sent["state"]["type"] == "FAILED" and "nobody" in sent["state"]["message"]
    assert session["headline"] in http.text(team, digest["title"][:20])
    assert digest["sessions"][0]["goal"] in smtp.text(1)
