"""Skills as they are served: filled in for the session that asks."""

from collections.abc import Callable, Mapping
from typing import Any

from wildloop.flows.models.contract import SessionContract
from wildloop.flows.prompt.catalog import api_catalog
from wildloop.flows.prompt.making_runs import AUTH_HEADER, runs_section
from wildloop.flows.prompt.sections import PromptContext, render_prompt
from wildloop.flows.skills import SkillLibrary

MINE = "$WILDLOOP_SESSION_ID"
"""What stands for the session's id where nobody has named it: the agent's own variable."""


def served_skill(
    library: SkillLibrary,
    id: str,
    *,
    server_url: str,
    session_id: str | None,
    openapi: Callable[[], Mapping[str, Any]],
) -> str:
    """A skill's text for one session: nothing in it is left to fill in but what a call brings.

    Args:
        library: where the skill is.
        id: of the skill.
        server_url: of the API.
        session_id: of the session that asks; None: its agent's variables stand for it.
        openapi: makes the API's schema, for the skill that lists it.

    Raises:
        NotFound: there is no such skill.
        InvalidRequest: it takes variables that only its own caller can give.
    """
    template = library.get(id).template
    context = PromptContext(
        server_url=server_url,
        session_id=session_id or MINE,
        workdir="$(git rev-parse --show-toplevel)",
        tasks_path="$WILDLOOP_TASKS_PATH",
        log_path="$WILDLOOP_SESSION_DIR/iteration_log.md",
        playbook_path="$WILDLOOP_SESSION_DIR/prompt_skill_playbook.md",
        auth_header=AUTH_HEADER,
        runs_section=runs_section(SessionContract(), "none"),
        api_catalog=api_catalog(openapi(), AUTH_HEADER) if "api_catalog" in template else "",
    )
    return render_prompt(library, id, context)
