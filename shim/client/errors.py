"""What can go wrong between a client and the API."""

import json

import httpx

from wildloop.flows.errors import WildloopError

AWAY = (502, 503, 504)


class ClientError(WildloopError):
    """The API refused or does not answer; the text says what to do.

    `status_code` is that of the answer, 503 where there was none.
    """

    def __init__(self, text: str, status_code: int = 400) -> None:
        super().__init__(text)
        self.status_code = status_code


class ServerAway(ClientError):
    """The API does not answer, or says that it cannot just now: the same request may pass later.

    `retry_after_s`: how long the server asks to wait, if it says so.
    """

    def __init__(
        self, text: str, status_code: int = 503, retry_after_s: float | None = None
    ) -> None:
        super().__init__(text, status_code)
        self.retry_after_s = retry_after_s


class WaitedTooLong(ClientError, TimeoutError):
    """What was waited for has not come in the time given; it goes on."""


def no_answer(url: str, error: httpx.HTTPError) -> ServerAway:
    """Why there is no answer from `url`, as one line."""
    if isinstance(error, httpx.ConnectError):
        return ServerAway(f"no Wildloop server at {url}: start one with `wildloop up`")
    return ServerAway(f"{url} does not answer: {error!r}")


def refusal(response: httpx.Response) -> ClientError:
    """An error answer as one line."""
    status, text = response.status_code, error_text(response)
    if status not in AWAY:
        return ClientError(text, status)
    pause = response.headers.get("Retry-After", "")
    return ServerAway(text, status, float(pause) if pause.isdecimal() else None)


def error_text(response: httpx.Response) -> str:
    """What an error answer says."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the server answered {response.status_code}"
    if isinstance(detail, list):
        faults = (f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in detail)
        return "; ".join(faults)
    return detail if isinstance(detail, str) else json.dumps(detail)
