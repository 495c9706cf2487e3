"""Takes secrets out of texts that are kept or shown: log records, artifacts, error answers."""

import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from wildloop.blocks.agents.masking import SHORTEST, secret_values

PLACE = "[redacted]"
# A value that begins with `$` is a shell's variable: commands quoted in plans stay as they are.
_HEADER = re.compile(
    r"""((?:x-auth-token|authorization)(?:["']?\s*[:=]|["']\s*,)\s*b?["']?"""
    r"""(?:(?:bearer|basic|token)\s+)?)[A-Za-z0-9._~+/=-]{8,}""",
    re.IGNORECASE,
)
_QUERY = re.compile(r"([?&](?:[a-z_]*token|api_?key|auth|secret|password)=)[^&\s\"'#]+", re.I)
# Tokens of agents are JSON web tokens; others are no less secret.
_WEB_TOKEN = re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}")
_USER_INFO = re.compile(r"(://[^/\s:@\"']*:)[^/\s@\"']+(?=@)")


class Redactor:
    """Replaces known values, and whatever stands where tokens stand, by `[redacted]`."""

    def __init__(self, values: Iterable[str]) -> None:
        """`values` shorter than 8 characters are passed over: they are no secrets, but words."""
        words = {form for value in values if len(value) >= SHORTEST for form in _forms(value)}
        ordered = sorted(words, key=len, reverse=True)
        self._words = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    @classmethod
    def of(cls, variables: Mapping[str, str], *values: str | None) -> "Redactor":
        """Of the variables whose names tell of a secret (*_KEY, *_TOKEN...), and more values.

        What stands before the host of a proxy is one as well, with or without a scheme.
        """
        found = [*secret_values(variables), *(value for value in values if value)]
        # PREFECT_API_AUTH_STRING is `user:password`.
        found += [value.partition(":")[2] for value in found]
        found += _proxy_secrets(variables)
        return cls(value for value in found if not _is_file(value))

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        if self._words is not None:
            text = self._words.sub(PLACE, text)
        text = _WEB_TOKEN.sub(PLACE, text)
        text = _HEADER.sub(rf"\1{PLACE}", text)
        text = _QUERY.sub(rf"\1{PLACE}", text)
        return _USER_INFO.sub(rf"\1{PLACE}", text)


def redact(text: str) -> str:
    """The text without the secrets of this process's environment."""
    return Redactor.of(os.environ)(text)


def redact_logs(redactor: Redactor) -> None:
    """Redact every log record of this process, tracebacks included, whoever handles it.

    A filter would have to be on every handler, those that Prefect adds later too.
    """
    make = logging.getLogRecordFactory()
    formatter = logging.Formatter()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if isinstance(record.msg, str):
            record.msg = redactor(record.msg)
        else:
            record.msg = _shown(record.msg, redactor)
        if isinstance(record.args, tuple):
            record.args = tuple(_shown(value, redactor) for value in record.args)
        elif record.args:
            record.args = {name: _shown(value, redactor) for name, value in record.args.items()}
        # `exc_info=False` stays as it is.
        if record.exc_info and record.exc_info[0] is not None:
            # A formatter that finds the text made takes it.
            record.exc_text = redactor(formatter.formatException(record.exc_info))
        return record

    logging.setLogRecordFactory(factory)


def _shown(value: Any, redactor: Redactor) -> Any:
    """A log argument: as it is, unless its text holds a secret."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else str(value)
    clean = redactor(text)
    return value if clean == text else clean


def _forms(value: str) -> tuple[str, ...]:
    """As it is, inside JSON, inside a URL."""
    return value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value)


def _proxy_secrets(variables: Mapping[str, str]) -> list[str]:
    """Users and passwords of the proxies that these variables name, as written and as meant."""
    found = []
    for name, value in variables.items():
        user, at, _ = value.rpartition("://")[2].rpartition("@")
        if at and name.lower().endswith("_proxy") and not name.lower().startswith("no_"):
            password = user.partition(":")[2] or user
            found += [user, password, unquote(password)]
    return found


def _is_file(value: str) -> bool:
    """Names such as SSH_AUTH_SOCK tell where something lies; a path is no secret."""
    try:
        return value.startswith("/") and Path(value).exists()
    except (OSError, ValueError):
        return False
