"""A server proves to whoever started it that it is the one that was started.

Who answers at a port may be another user's server that took it first: asked with our token, it
would learn it. Both sides know a key, made anew by each `wildloop up`; what travels is a challenge
and its answer, neither of which is of use to a listener.
"""

import hashlib
import hmac
import http.client
import os
import secrets
from urllib.parse import urlencode, urlsplit

# Neither reaches a run or an agent.
KEY_VARIABLE = "WILDLOOP_SUPERVISOR_KEY"
PREFECT_VARIABLE = "WILDLOOP_SUPERVISOR_PREFECT"
PATH = "/wildloop-proof"
SECONDS = 2.0
LONGEST_CHALLENGE = 200


def new_key() -> str:
    """A key for one `up` and its children."""
    return secrets.token_hex(32)


def own_key() -> str | None:
    """The key that this process was started with; None if by no `up`."""
    return os.environ.get(KEY_VARIABLE) or None


def prefect_key() -> str | None:
    """The key that this process's Prefect server holds; None if no `up` has started that."""
    return own_key() if os.environ.get(PREFECT_VARIABLE) == "1" else None


def answer(key: str, port: int, challenge: str) -> str:
    """What only a holder of the key that listens on this port can answer.

    With the port in it, one who listens on another cannot have it answered by the right server.
    """
    text = f"wildloop:{port}:{challenge}".encode()
    return hmac.new(key.encode(), text, hashlib.sha256).hexdigest()


def proves(url: str, key: str) -> bool:
    """Whether the server at `url` answers and holds the key; no proxy is asked."""
    parts, challenge = urlsplit(url), secrets.token_hex(16)
    connection = http.client.HTTPConnection(
        parts.hostname or "127.0.0.1", parts.port, timeout=SECONDS
    )
    try:
        connection.request("GET", f"{PATH}?{urlencode({'challenge': challenge})}")
        response = connection.getresponse()
        said = response.read(LONGEST_CHALLENGE).decode("ascii", "replace")
        return response.status == http.client.OK and hmac.compare_digest(
            said.encode(), answer(key, parts.port or 80, challenge).encode()
        )
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
