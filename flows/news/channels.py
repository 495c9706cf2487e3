"""Channels: where messages go, each a notification block of Prefect's with automations of its own.

The block is of Prefect's type *Slack Webhook* whatever the service: of the types that every Prefect
server has it is one that hands any Apprise URL on, so that a server without Wildloop sends as well.

Prefect's automations know no quiet hours. Each event says the half hour that it was emitted in, and
an automation of a channel with quiet hours matches the others alone; the digest tells of the rest.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from prefect.blocks.abstract import NotificationError
from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import (
    Automation,
    AutomationCore,
    EventTrigger,
    Posture,
)
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, Field, SecretStr

from wildloop.flows import events
from wildloop.flows.errors import InvalidRequest, NotFound
from wildloop.flows.models.alert import AlertKind
from wildloop.flows.news.urls import Service, apprise_url
from wildloop.flows.text.redaction import redact

BLOCK_TYPE = "slack-webhook"
PREFIX = "wildloop-"
TAG = "wildloop"
TEST = "test"
TEST_EVENT = "wildloop.channel.test"
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
MINUTES_OF_DAY = 24 * 60


@dataclass(frozen=True)
class Topic:
    """What a channel tells of: events, by labels of their resource."""

    words: str
    event: str
    labels: dict[str, list[str]] = field(default_factory=dict)


TOPICS = {
    "ended": Topic("a session has ended", events.SESSION_ENDED),
    "failed": Topic("a session has failed", events.SESSION_FAILED),
    "stuck": Topic("a session is stuck", events.SESSION_STUCK),
    "best": Topic("a new best", events.SESSION_BEST),
    # A lost host is told once, not for each of its runs.
    "alert": Topic(
        "an alert",
        events.ALERT_RAISED,
        {"wildloop.alert.kind": [one for one in AlertKind if one is not AlertKind.HOST_LOST]},
    ),
    "host": Topic("a host is lost", events.HOST_LOST),
}


class Channel(BaseModel):
    """A place that messages go to. Its URL is a secret, and never shown."""

    name: str = Field(description="Of the block it is behind `wildloop-`.")
    service: Service
    on: list[str] = Field(description="Topics, of: " + ", ".join(TOPICS))
    quiet: str | None = Field(default=None, examples=["22:00-07:00"])


def awake_slots(quiet: str) -> list[str]:
    """The half hours outside of quiet hours.

    Raises:
        InvalidRequest: it is no span of full or half hours.
    """
    match = re.fullmatch(r"([01]?\d|2[0-3]):(00|30)-([01]?\d|2[0-3]):(00|30)", quiet.strip())
    if match is None:
        raise InvalidRequest(
            f"quiet: '{quiet}' is no span of full or half hours: give it like 22:00-07:00"
        )
    begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if begin == end:
        raise InvalidRequest(f"quiet: '{quiet}' is no time at all: give it like 22:00-07:00")
    length = (end - begin) % MINUTES_OF_DAY
    return [
        f"{minute // 60:02d}:{minute % 60:02d}"
        for minute in range(0, MINUTES_OF_DAY, events.SLOT_MINUTES)
        if (minute - begin) % MINUTES_OF_DAY >= length
    ]


async def add(client: PrefectClient, channel: Channel, url: SecretStr) -> Channel:
    """Make a channel, or make it anew: its block, and an automation for each topic.

    Raises:
        InvalidRequest: name, topics, quiet hours or URL are wrong; the URL is not told.
    """
    if NAME.fullmatch(channel.name) is None:
        raise InvalidRequest(
            f"name: '{channel.name}' cannot be one: use lower-case letters, digits and dashes"
        )
    if unknown := [word for word in channel.on if word not in TOPICS]:
        raise InvalidRequest(f"on: '{unknown[0]}' is none of {', '.join(TOPICS)}")
    awake = awake_slots(channel.quiet) if channel.quiet else []
    target = apprise_url(channel.service, url)
    block = SlackWebhook(url=target)
    block_id = await block.asave(PREFIX + channel.name, overwrite=True, client=client)
    for old in await _automations(client, channel.name):
        await client.delete_automation(old.id)
    for word in dict.fromkeys(channel.on):
        topic = TOPICS[word]
        match: dict[str, str | list[str]] = {**topic.labels}
        if awake:
            match[events.CLOCK_LABEL] = awake
        await client.create_automation(
            _automation(channel, word, topic.words, topic.event, match, str(block_id))
        )
    own: dict[str, str | list[str]] = {"prefect.resource.id": channel_resource(channel.name)}
    await client.create_automation(
        _automation(channel, TEST, "a test", TEST_EVENT, own, str(block_id))
    )
    return channel


async def every_channel(client: PrefectClient) -> list[Channel]:
    """The channels, by name."""
    found: dict[str, Channel] = {}
    for automation in await client.read_automations():
        told = dict(tag.split(":", 1) for tag in automation.tags if ":" in tag)
        if TAG not in automation.tags or not {"channel", "service", "topic"} <= set(told):
            continue
        channel = found.setdefault(
            told["channel"],
            Channel(
                name=told["channel"],
                service=Service(told["service"]),
                on=[],
                quiet=told.get("quiet"),
            ),
        )
        if told["topic"] in TOPICS and automation.enabled:
            channel.on.append(told["topic"])
    for channel in found.values():
        channel.on.sort(key=list(TOPICS).index)
    return sorted(found.values(), key=lambda one: one.name)


async def remove(client: PrefectClient, name: str) -> None:
    """Take a channel away, its block and its automations.

    Raises:
        NotFound: there is none of this name.
    """
    automations = await _automations(client, name)
    document = await _document(client, name)
    if not automations and document is None:
        raise NotFound("channel", name)
    for automation in automations:
        await client.delete_automation(automation.id)
    if document is not None:
        await client.delete_block_document(document.id)


async def send_to_all(
    client: PrefectClient, names: Sequence[str], title: str, text: str
) -> list[str]:
    """Send a message to channels from this process; return which did not get it, and why."""
    faults = []
    for name in names:
        try:
            await _send(client, name, title, text)
        except NotificationError as error:
            # Apprise's words name the service and the status, and not the URL, a secret.
            lines = (error.log or "").strip().splitlines()
            faults.append(f"{name}: {redact(lines[-1]) if lines else 'its service refused'}")
        except NotFound as error:
            faults.append(str(error))
    return faults


async def tester(client: PrefectClient, name: str) -> Automation:
    """The automation that sends the test message of a channel.

    Raises:
        NotFound: there is none of this name.
    """
    found = [one for one in await _automations(client, name) if f"topic:{TEST}" in one.tags]
    if not found:
        raise NotFound("channel", name)
    return found[0]


def channel_resource(name: str) -> str:
    """The id of a channel as the resource of an event."""
    return f"wildloop.channel.{name}"


def _automation(
    channel: Channel,
    topic: str,
    words: str,
    event: str,
    match: dict[str, str | list[str]],
    block_id: str,
) -> AutomationCore:
    tags = [TAG, f"channel:{channel.name}", f"service:{channel.service.value}", f"topic:{topic}"]
    return AutomationCore(
        name=f"wildloop {channel.name}: {words}",
        description="Made by `wildloop notify add`."
        + (f" Quiet from {channel.quiet.replace('-', ' to ')}." if channel.quiet else ""),
        tags=tags + ([f"quiet:{channel.quiet}"] if channel.quiet else []),
        trigger=EventTrigger(
            expect={event},
            match=ResourceSpecification.model_validate(match),
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            SendNotification.model_validate(
                {
                    "block_document_id": block_id,
                    "subject": "{{ event.payload.title }}",
                    "body": "{{ event.payload.text }}",
                }
            )
        ],
    )


async def _automations(client: PrefectClient, name: str) -> Sequence[Automation]:
    every = await client.read_automations()
    return [one for one in every if TAG in one.tags and f"channel:{name}" in one.tags]


async def _document(client: PrefectClient, name: str) -> BlockDocument | None:
    try:
        return await client.read_block_document_by_name(PREFIX + name, BLOCK_TYPE)
    except ObjectNotFound:
        return None


async def _send(client: PrefectClient, name: str, title: str, text: str) -> None:
    document = await _document(client, name)
    if document is None:
        raise NotFound("channel", name)
    block = SlackWebhook(url=SecretStr(document.data["url"]))
    with block.raise_on_failure():
        await block.anotify(text, title)
