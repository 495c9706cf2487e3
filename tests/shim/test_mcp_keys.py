"""Tool calls that are repeated for want of an answer create once."""

from collections.abc import Callable

import pytest

from wildloop.shim.mcp.keys import REMEMBERED, CallKeys


class NoAnswer(Exception):
    """The API failed, or the client has given up."""


@pytest.fixture
def keys() -> CallKeys:
    return CallKeys()


def answered(keys: CallKeys, **arguments: object) -> str:
    with keys.key("create_run", arguments) as key:
        return key


def unanswered(keys: CallKeys, **arguments: object) -> str:
    kept = ""
    with pytest.raises(NoAnswer), keys.key("create_run", arguments) as key:
        kept = key
        raise NoAnswer
    return kept


def test_repetition_for_want_of_an_answer_has_the_same_key(keys: CallKeys) -> None:
    first = unanswered(keys, name="a")
    assert unanswered(keys, name="a") == first
    assert answered(keys, name="a") == first
    assert answered(keys, name="a") != first


@pytest.mark.parametrize("call", [answered, unanswered])
def test_other_calls_have_keys_of_their_own(keys: CallKeys, call: Callable[..., str]) -> None:
    first = unanswered(keys, name="a")
    assert call(keys, name="b") != first
    with keys.key("create_sweep", {"name": "a"}) as other:
        assert other != first


def test_equal_calls_on_purpose_or_at_once_are_calls_of_their_own(keys: CallKeys) -> None:
    assert answered(keys, name="a") != answered(keys, name="a")
    with keys.key("create_run", {"name": "a"}) as one, keys.key("create_run", {"name": "a"}) as two:
        assert one != two


def test_two_unanswered_calls_keep_two_keys(keys: CallKeys) -> None:
    with (
        pytest.raises(NoAnswer),
        keys.key("create_run", {"name": "a"}) as one,
        keys.key("create_run", {"name": "a"}) as two,
    ):
        raise NoAnswer
    assert {answered(keys, name="a"), answered(keys, name="a")} == {one, two}


def test_unanswered_calls_are_forgotten_at_some_time(keys: CallKeys) -> None:
    first = unanswered(keys, name="a")
    for number in range(REMEMBERED):
        unanswered(keys, name=f"b{number}")
    assert answered(keys, name="a") != first
