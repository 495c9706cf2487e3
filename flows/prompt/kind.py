"""The kinds of an agent's call, and the skill that each one's prompt is rendered from."""

from typing import Literal

Kind = Literal["planning", "iteration", "reflection"]
SKILLS: dict[Kind, str] = {
    "planning": "wild_v2_planning",
    "iteration": "wild_v2_iteration",
    "reflection": "wild_v2_reflection",
}
