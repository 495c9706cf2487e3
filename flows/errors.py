"""Wildloop's own errors. One place maps them to HTTP answers and to exit codes."""

import httpx
from pydantic import ValidationError


class WildloopError(Exception):
    """Base of all errors that a user may see: the text says what to do."""

    status_code = 500


class NotFound(WildloopError):
    """Something named by id does not exist."""

    status_code = 404

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"no {kind} with id '{id}'")


class NoneYet(WildloopError):
    """The latest was asked for, and there is none."""

    status_code = 404


class InvalidTransition(WildloopError):
    """A run or session cannot go from its state to the one asked for."""

    status_code = 409

    def __init__(self, kind: str, id: str, current: str, wanted: str) -> None:
        super().__init__(f"{kind} '{id}' is '{current}': it cannot become '{wanted}'")


class NotAllowed(WildloopError):
    """Switched off by the settings; the text says how to switch it on."""

    status_code = 403


class Conflict(WildloopError):
    """The request contradicts what is there."""

    status_code = 409


class BudgetSpent(WildloopError):
    """A session may start no further run; the text names the bound, and what is used of it."""

    status_code = 409


class InvalidRequest(WildloopError):
    """A value is not usable; the text names the field and the mend."""

    status_code = 422


class TooManyRequests(WildloopError):
    """A limit of the server is reached; the text says which, `retry_after_s` when to try again."""

    status_code = 429

    def __init__(self, text: str, retry_after_s: float) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class PreflightFailed(WildloopError):
    """The session cannot start; the text lists every failed check."""

    status_code = 412


class Unavailable(WildloopError):
    """A part of Wildloop does not answer; `retry_after_s` says when to try again."""

    status_code = 503
    retry_after_s = 5.0


class PrefectAway(Unavailable):
    """The Prefect server does not answer, or not as it should; `retry_after_s` as above."""

    def __init__(
        self, fault: str, seconds: float, *, may_be_done: bool = False, retry_after_s: float = 5.0
    ) -> None:
        doubt = "; what was asked may have been done: look before it is asked anew"
        super().__init__(
            f"the Prefect server has not answered for {seconds:.0f} s ({fault}): sessions and runs "
            f"go on as soon as it does; try again{doubt if may_be_done else ''}"
        )
        self.retry_after_s = retry_after_s


AWAY: tuple[type[Exception], ...] = (httpx.HTTPError, PrefectAway)
"""What a request to Prefect's server may end with while that is away, patient client or not."""


def faults_of(error: ValidationError) -> str:
    """What is wrong with each field, in a line: `budget.runs: Input should be ...; goal: ...`."""
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
    )
