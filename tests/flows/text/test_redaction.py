"""Secrets in texts and log records."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from wildloop.flows.text.redaction import Redactor, redact, redact_logs

TOKEN = "tok-3f9a\"7c'2b"
ENVIRONMENT = {
    "WANDB_API_KEY": "0123456789abcdef",
    "HF_TOKEN": TOKEN,
    "DB_PASSWORD": "pass word+9",
    "MY_SECRET": "s3cr3t-value",
    "PREFECT_API_AUTH_STRING": "wildloop:inner-token-1",
    "SHORT_TOKEN": "true",
    "HOME": "/home/someone",
}


@pytest.mark.parametrize(
    "text",
    [
        "key 0123456789abcdef here",
        f"token {TOKEN}",
        json.dumps({"token": TOKEN}),
        "url?x=pass%20word%2B9",
        "s3cr3t-value",
        "inner-token-1",
    ],
)
def test_values_of_secret_variables_are_replaced(text: str) -> None:
    clean = Redactor.of(ENVIRONMENT)(text)
    assert "[redacted]" in clean
    for value in ("0123456789abcdef", "3f9a", "word%2B9", "s3cr3t-value", "inner-token-1"):
        assert value not in clean


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("X-Auth-Token: abcdefgh1234", "X-Auth-Token: [redacted]"),
        ("Authorization: Bearer abcdefgh1234 x", "Authorization: Bearer [redacted] x"),
        ("{'authorization': 'Basic d2lsZGxvb3A6'}", "{'authorization': 'Basic [redacted]'}"),
        ("(b'x-auth-token', b'abcdefgh1234')", "(b'x-auth-token', b'[redacted]')"),
        ("GET /runs?limit=1&token=abc HTTP", "GET /runs?limit=1&token=[redacted] HTTP"),
        ("postgresql://me:hunter2@host/db", "postgresql://me:[redacted]@host/db"),
    ],
)
def test_what_stands_where_tokens_stand_is_replaced(text: str, clean: str) -> None:
    assert Redactor([])(text) == clean


@pytest.mark.parametrize(
    "text",
    [
        'curl -H "X-Auth-Token: $WILDLOOP_AUTH_TOKEN" "$WILDLOOP_SERVER_URL/runs"',
        "send it as header X-Auth-Token or `Authorization: Bearer`; it is in a file",
        "true story of /home/someone, at 10:30, see http://host:80/a@b",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert Redactor.of(ENVIRONMENT)(text) == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTP_PROXY", "user:pass-word@proxy:3128"),
        ("https_proxy", "http://token-alone@proxy:3128"),
        ("ALL_PROXY", "socks5h://user:p@ss/word9@proxy:1080"),
        ("http_proxy", "http://user:pass%2Dword@proxy"),
    ],
)
def test_who_asks_a_proxy_is_a_secret(name: str, value: str) -> None:
    clean = Redactor.of({name: value, "NO_PROXY": "a@b-no-secret"})
    shown = clean(f"ProxyError('{value}') by {value}")
    assert not any(word in shown for word in ("pass", "word", "token-alone", "p@ss"))
    assert shown.count("[redacted]") == 2 == shown.count("@proxy")
    assert clean("a@b-no-secret") == "a@b-no-secret"


def test_paths_are_no_secrets(tmp_path: Path) -> None:
    assert Redactor.of({"SSH_AUTH_SOCK": str(tmp_path)})(f"in {tmp_path}") == f"in {tmp_path}"


def test_redact_knows_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "key-of-this-process")
    assert redact("a key-of-this-process b") == "a [redacted] b"


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    before, stream = logging.getLogRecordFactory(), io.StringIO()
    logger, handler = logging.getLogger("test.redaction"), logging.StreamHandler(stream)
    logger.addHandler(handler)
    redact_logs(Redactor(["very-secret-1"]))
    yield logger, stream
    logging.setLogRecordFactory(before)
    logger.removeHandler(handler)


def test_log_messages_arguments_and_tracebacks_are_redacted(
    log: tuple[logging.Logger, io.StringIO],
) -> None:
    logger, stream = log
    logger.error("plain very-secret-1")
    logger.error("tuple %s %d", "very-secret-1", 7)
    logger.error("mapping %(a)s", {"a": ["very-secret-1"]})
    logger.error(RuntimeError("object very-secret-1"))
    try:
        raise RuntimeError("raised very-secret-1")
    except RuntimeError:
        logger.exception("failed")
    text = stream.getvalue()
    assert "very-secret-1" not in text
    assert "object [redacted]" in text
    assert "tuple [redacted] 7" in text
    assert "RuntimeError: raised [redacted]" in text


def test_whoever_wants_no_traceback_gets_none(log: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = log
    try:
        raise RuntimeError("raised")
    except RuntimeError:
        # So Prefect's services do for what they could not send; raising here ended them.
        logger.error("an event of very-secret-1 was not sent", exc_info=False)
    assert stream.getvalue() == "an event of [redacted] was not sent\n"
