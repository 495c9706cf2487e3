"""Quiet hours, and URLs as people write them."""

from datetime import datetime, timedelta

import pytest
from prefect.blocks.notifications import SlackWebhook
from pydantic import SecretStr

from tests.support.sinks import http_sink, smtp_sink
from wildloop.flows.errors import InvalidRequest
from wildloop.flows.events import clock
from wildloop.flows.news.channels import awake_slots
from wildloop.flows.news.urls import Service, apprise_url

SLACK = "https://hooks.slack.com/services/T1AAAAAAA/B1AAAAAAA/abcdefghijklmnopqrstuvwx"


def test_every_minute_is_in_a_slot_that_is_quiet_or_awake() -> None:
    awake = awake_slots("22:00-07:30")
    day = datetime(2026, 3, 29)
    quiet = [
        now.strftime("%H:%M")
        for now in (day + timedelta(minutes=minute) for minute in range(24 * 60))
        if clock(now) not in awake
    ]
    assert quiet[0] == "00:00" and quiet[-1] == "23:59"
    assert len(quiet) == (2 + 7) * 60 + 30
    assert "07:29" in quiet and "07:30" not in quiet
    assert "22:00" in quiet and "21:59" not in quiet


@pytest.mark.parametrize("quiet", ["22-7", "22:15-07:00", "25:00-07:00", "07:00-07:00", ""])
def test_wrong_quiet_hours_are_refused(quiet: str) -> None:
    with pytest.raises(InvalidRequest, match="quiet"):
        awake_slots(quiet)


@pytest.mark.parametrize(
    ("service", "url", "taken"),
    [
        (Service.SLACK, SLACK, SLACK),
        (
            Service.EMAIL,
            "smtps://me:pw@mail.example.com:587?from=me@example.com&to=me@example.com",
            "mailtos://me:pw@mail.example.com:587?from=me@example.com&to=me@example.com",
        ),
        (Service.NTFY, "https://ntfy.sh/topic", "ntfys://ntfy.sh/topic"),
        (Service.WEBHOOK, "http://h:8/a/b?token=x%20y", "json://h:8/a/b?-token=x%20y"),
        (Service.WEBHOOK, "jsons://example.com/a", "jsons://example.com/a"),
        (Service.APPRISE, "json://example.com", "json://example.com"),
    ],
)
def test_urls_are_taken_as_people_write_them(service: Service, url: str, taken: str) -> None:
    assert apprise_url(service, SecretStr(url)).get_secret_value() == taken


@pytest.mark.parametrize(
    ("service", "url"),
    [
        (Service.SLACK, "https://example.com/s3cret"),
        (Service.EMAIL, "https://example.com/s3cret"),
        (Service.EMAIL, "smtp://me:s3cret@mail.example.com?from=me@example.com&to=nobody"),
        (Service.NTFY, "ftp://example.com/s3cret"),
        (Service.WEBHOOK, "s3cret"),
        (Service.APPRISE, "nothing://s3cret"),
        (Service.APPRISE, "http://[s3cret"),
    ],
)
def test_what_is_no_url_of_the_service_is_refused_without_telling_it(
    service: Service, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidRequest, match="give one like") as refused:
        apprise_url(service, SecretStr(url))
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in caplog.text


async def test_a_webhook_gets_its_query_and_a_mail_its_text() -> None:
    with http_sink() as http, smtp_sink() as smtp:
        for service, url in (
            (Service.WEBHOOK, f"http://127.0.0.1:{http.port}/hook?key=v1"),
            (
                Service.EMAIL,
                f"smtp://a:pw@127.0.0.1:{smtp.port}?from=a@example.com&to=b@example.com",
            ),
        ):
            block = SlackWebhook(url=apprise_url(service, SecretStr(url)))
            with block.raise_on_failure():
                await block.anotify("the text", "the title")
        assert http.text("/hook?key=v1", "the title") == "the text"
        assert smtp.mails[0]["To"] == "b@example.com"
        assert smtp.mails[0]["Subject"] == "the title"
        assert "the text" in smtp.text()
