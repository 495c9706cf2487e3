"""Who may use the page: one-time links, the login's cookie, and where a request comes from.

The cookie is signed with the user's token, as agents' tokens are: nothing is stored, so it lives
through restarts of the API and ends with the token. Its path is that of the page, and nothing but
the page takes it.
"""

import hmac
import secrets
import time
from collections.abc import Callable, Mapping

import jwt

from wildloop.flows.errors import TooManyRequests

ALGORITHM = "HS256"
AUDIENCE = "wildloop-page"
COOKIE_SECONDS = 7 * 86_400
CODE_SECONDS = 120
MOST_CODES = 100
FAILURES_PER_MINUTE = 10


class PageAccess:
    """The page's door.

    Args:
        token: the user's; None: the API asks for none, and so does the page.
        clock: Unix seconds.
    """

    def __init__(self, token: str | None, clock: Callable[[], float] = time.time) -> None:
        self._token = token
        self._clock = clock
        self._codes: dict[str, float] = {}
        self._failures: list[float] = []
        key = (token or "").encode()
        self._key = hmac.digest(key, b"wildloop: cookies of the page", "sha256")
        # Cookies know no ports: two servers of one host must not take each other's place.
        self.cookie_name = f"wildloop_page_{hmac.digest(self._key, b'name', 'sha256').hex()[:8]}"

    @property
    def is_open(self) -> bool:
        """Whether nobody has to log in."""
        return self._token is None

    def lets_in(self, cookies: Mapping[str, str]) -> bool:
        """Whether a request with these cookies is the user's."""
        return self.is_open or self._is_valid(cookies.get(self.cookie_name, ""))

    def new_cookie(self) -> str:
        """A cookie's value, good for a week."""
        now = int(self._clock())
        claims = {"aud": AUDIENCE, "exp": now + COOKIE_SECONDS, "jti": secrets.token_urlsafe(12)}
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)

    def new_code(self) -> str:
        """A code for one login within two minutes."""
        self._forget_old()
        while len(self._codes) >= MOST_CODES:
            self._codes.pop(next(iter(self._codes)))
        code = secrets.token_urlsafe(32)
        self._codes[code] = self._clock() + CODE_SECONDS
        return code

    def use_code(self, code: str) -> bool:
        """Whether the code is good; it is so once."""
        self._forget_old()
        # Compared as whole keys of 256 random bits: what a look-up's time tells is of no use.
        return self._codes.pop(code, None) is not None

    def is_token(self, given: str) -> bool:
        """Whether this is the user's token.

        Raises:
            TooManyRequests: too many wrong ones were given within a minute.
        """
        now = self._clock()
        self._failures = [at for at in self._failures if at > now - 60]
        if len(self._failures) >= FAILURES_PER_MINUTE:
            raise TooManyRequests(
                "too many wrong tokens: wait a minute, or log in by `wildloop open`",
                self._failures[0] + 60 - now,
            )
        good = hmac.compare_digest(given.strip().encode(), (self._token or "").encode())
        if not good:
            self._failures.append(now)
        return good

    def _is_valid(self, cookie: str) -> bool:
        try:
            claims = jwt.decode(
                cookie,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                options={"require": ["aud", "exp"], "verify_exp": False},
            )
        except jwt.InvalidTokenError:
            return False
        return int(claims["exp"]) > self._clock()

    def _forget_old(self) -> None:
        now = self._clock()
        self._codes = {code: until for code, until in self._codes.items() if until > now}


def is_from_here(headers: Mapping[str, str]) -> bool:
    """Whether a page of this very server sends a request, as the browser says.

    Sec-Fetch-Site tells ports apart, which SameSite does not; older browsers send Origin alone.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] == headers.get("host", "") != ""
