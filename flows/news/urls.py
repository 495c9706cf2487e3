"""The URL of a channel, as Apprise (which Prefect's notification blocks use) takes it."""

import logging
import re
from enum import StrEnum
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from apprise import Apprise
from pydantic import SecretStr

from wildloop.flows.errors import InvalidRequest

SLACK = re.compile(r"https://hooks\.slack(-gov)?\.com/services/\w+/\w+/\w+/?", re.I)


class Service(StrEnum):
    """What a channel speaks to."""

    SLACK = "slack"
    EMAIL = "email"
    NTFY = "ntfy"
    WEBHOOK = "webhook"
    APPRISE = "apprise"


EXAMPLES = {
    Service.SLACK: "https://hooks.slack.com/services/T.../B.../...",
    Service.EMAIL: "smtps://user:password@mail.example.com:587?from=me@example.com&to=me@example.com",
    Service.NTFY: "https://ntfy.sh/my-topic",
    Service.WEBHOOK: "https://example.com/hook",
    Service.APPRISE: "any URL of https://github.com/caronc/apprise/wiki",
}
# What people write, and what Apprise calls it.
SCHEMES = {
    Service.EMAIL: {"smtp": "mailto", "smtps": "mailtos"},
    Service.NTFY: {"http": "ntfy", "https": "ntfys"},
    Service.WEBHOOK: {"http": "json", "https": "jsons"},
}
OWN = {
    Service.EMAIL: {"mailto", "mailtos"},
    Service.NTFY: {"ntfy", "ntfys"},
    Service.WEBHOOK: {"json", "jsons"},
}


def apprise_url(service: Service, url: SecretStr) -> SecretStr:
    """A URL as people write it, as Apprise takes it.

    Raises:
        InvalidRequest: it is none of this service; it is a secret, so the error does not name it.
    """
    text = url.get_secret_value().strip()
    wanted = f"give one like {EXAMPLES[service]}"
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise InvalidRequest(f"url: it cannot be read: {wanted}") from error
    if service is Service.SLACK and SLACK.fullmatch(text) is None:
        raise InvalidRequest(f"url: it is no incoming webhook of Slack's: {wanted}")
    if service in SCHEMES:
        schemes = SCHEMES[service]
        scheme = parts.scheme.lower()
        if scheme not in schemes and scheme not in OWN[service]:
            raise InvalidRequest(f"url: it is no URL of this service: {wanted}")
        query = parts.query
        if service is Service.WEBHOOK and scheme in schemes:
            # Apprise sends on those whose names begin with a dash, and reads the others itself.
            pairs = [(f"-{name}", value) for name, value in parse_qsl(query, True)]
            query = urlencode(pairs, quote_via=quote)
        text = urlunsplit((schemes.get(scheme, scheme), parts.netloc, parts.path, query, ""))
    if not _is_taken(text):
        raise InvalidRequest(f"url: Apprise does not take it: {wanted}")
    return SecretStr(text)


def _is_taken(url: str) -> bool:
    """Whether Apprise takes a URL, and it names whom to write to; it says nothing of it in logs."""
    logger = logging.getLogger("apprise")
    was, logger.disabled = logger.disabled, True
    try:
        found = Apprise.instantiate(url, suppress_exceptions=True)
    finally:
        logger.disabled = was
    return found is not None and getattr(found, "targets", None) != []
