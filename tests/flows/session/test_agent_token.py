"""An agent's token tells its session to whoever has the user's, and cannot be made without it."""

from pathlib import Path

import jwt
import pytest
from pydantic import SecretStr

from wildloop.flows.session.agent_token import AUDIENCE, agent_token, session_of, tokens_of
from wildloop.flows.settings import Settings
from wildloop.flows.text.redaction import Redactor

USER = "the-user's-token"


def test_any_process_that_has_the_users_token_knows_the_session() -> None:
    assert session_of(USER, agent_token(USER, "s1")) == "s1"


@pytest.mark.parametrize(
    "given",
    [
        "",
        USER,
        agent_token("another", "s1"),
        agent_token(USER, "s1")[:-2],
        agent_token(USER, "s1") + "x",
        jwt.encode({"sub": "s1", "aud": AUDIENCE}, None, algorithm="none"),
        jwt.encode({"sub": "s1", "aud": AUDIENCE}, USER.encode() * 3, algorithm="HS256"),
    ],
    ids=["empty", "the user's", "another server's", "cut", "longer", "unsigned", "other key"],
)
def test_what_was_not_signed_so_is_no_token(given: str) -> None:
    assert session_of(USER, given) is None


def test_one_sessions_token_does_not_become_anothers() -> None:
    first, second = agent_token(USER, "s1").split("."), agent_token(USER, "s2").split(".")
    assert session_of(USER, ".".join([first[0], second[1], first[2]])) is None


def test_it_holds_nothing_of_the_users_token_and_is_redacted() -> None:
    token = agent_token(USER, "s1")
    assert USER not in token
    assert token not in Redactor([])(f"curl said {token} twice")


def test_without_a_token_of_the_user_there_is_none() -> None:
    bare = Settings(home=Path("/"), server_url="", token=None, workdir=Path("/"))
    assert tokens_of(bare, "s1") == ()
    closed = bare.model_copy(update={"token": SecretStr(USER)})
    assert tokens_of(closed, "s1") == (agent_token(USER, "s1"), USER)
