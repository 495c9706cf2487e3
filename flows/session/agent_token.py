"""The token of a session's agent: signed with the user's own, and bound to the session.

Nothing is stored: whoever has the user's token can tell which session a token speaks for, after a
restart and in any number of processes. Whether that session still lives is not in the token.
"""

import hmac

import jwt

from wildloop.flows.settings import Settings

ALGORITHM = "HS256"
AUDIENCE = "wildloop-agent"


def agent_token(user_token: str, session_id: str) -> str:
    """The token of the agent of this session, or of one of its researchers by that one's name."""
    claims = {"sub": session_id, "aud": AUDIENCE}
    return jwt.encode(claims, _key(user_token), algorithm=ALGORITHM)


def tokens_of(settings: Settings, session_id: str) -> tuple[str, ...]:
    """What is to be masked wherever the agent has written it: its own token, and the user's.

    Empty where the server asks for none.
    """
    if settings.token is None:
        return ()
    user = settings.token.get_secret_value()
    return agent_token(user, session_id), user


def session_of(user_token: str, given: str) -> str | None:
    """The session whose agent's token this is; None if it is none, or not signed by us."""
    try:
        claims = jwt.decode(
            given,
            _key(user_token),
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            options={"require": ["sub", "aud"]},
        )
    except jwt.InvalidTokenError:
        return None
    return str(claims["sub"])


def _key(user_token: str) -> bytes:
    return hmac.digest(user_token.encode(), b"wildloop: tokens of agents", "sha256")
