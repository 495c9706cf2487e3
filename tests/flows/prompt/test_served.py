"""Skills as they are served: nothing is left to fill in."""

import pytest

from wildloop.flows.errors import NotFound
from wildloop.flows.prompt.served import served_skill
from wildloop.flows.skills import SkillLibrary, shipped_skills_path

LIBRARY = SkillLibrary(shipped_skills_path())
API = {"paths": {"/runs": {"get": {"tags": ["runs"], "summary": "List runs"}}}}


def served(id: str, session_id: str | None = "s-1") -> str:
    return served_skill(
        LIBRARY, id, server_url="http://h:1", session_id=session_id, openapi=lambda: API
    )


@pytest.mark.parametrize("id", [skill.id for skill in LIBRARY.all()])
def test_every_skill_is_served_filled_in(id: str) -> None:
    assert "{{" not in served(id) and "{%" not in served(id)


def test_the_protocol_names_the_session_that_asks_and_makes_runs_in_one_call() -> None:
    text = served("wild_v2_execution_ops_protocol")
    assert 'SESSION_ID="s-1"' in text
    assert "http://h:1/health" in text
    assert '"seed": [0, 1, 2]' in text
    assert 'SESSION_ID="$WILDLOOP_SESSION_ID"' in served("wild_v2_execution_ops_protocol", None)


def test_the_whole_api_is_a_skill() -> None:
    assert '"$WILDLOOP_SERVER_URL/runs"' in served("wild_v2_api")


def test_an_unknown_skill_is_not_served() -> None:
    with pytest.raises(NotFound):
        served("nothing")
