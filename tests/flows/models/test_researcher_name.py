"""What a researcher of a session is called."""

import pytest

from wildloop.flows.models.researcher_name import called, researcher_in, session_in


@pytest.mark.parametrize(
    ("name", "session", "number"),
    [
        ("5f0", "5f0", None),
        ("5f0:r2", "5f0", 2),
        ("5f0:r16", "5f0", 16),
        ("5f0:confirm", "5f0:confirm", None),
        ("5f0:r0", "5f0:r0", None),
        ("a:r1:r2", "a:r1", 2),
    ],
)
def test_a_name_tells_session_and_researcher(name: str, session: str, number: int | None) -> None:
    assert (session_in(name), researcher_in(name)) == (session, number)
    assert called(session, number) == name
