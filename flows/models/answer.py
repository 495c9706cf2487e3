"""A question to a session, and what its agent has answered."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from wildloop.blocks.agents.prices import Usage
from wildloop.flows.models.body import NOT_BLANK, Body

QUESTION_LENGTH = 4000


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank: say what you want to know")
    return value.strip()


class Question(Body):
    """Body of `POST /wild/v2/ask/{session_id}`."""

    question: Annotated[
        str,
        Field(min_length=1, max_length=QUESTION_LENGTH, json_schema_extra=NOT_BLANK),
        AfterValidator(_not_blank),
    ] = Field(description="What the session's agent is to answer from its record.")


class AnswerStatus(StrEnum):
    """`asked` until the agent has answered, or could not."""

    ASKED = "asked"
    ANSWERED = "answered"
    FAILED = "failed"


class Answer(BaseModel):
    """A question with its answer. Times are Unix seconds."""

    id: str
    session_id: str
    question: str
    status: AnswerStatus = AnswerStatus.ASKED
    answer: str = Field(default="", description="Markdown.")
    error: str | None = None
    asked_at: float
    answered_at: float | None = None
    usage: Usage | None = Field(default=None, description="Tokens, where the agent tells them.")
    cost_usd: float | None = Field(
        default=None, description="Counted in what the session has spent."
    )
    cost_is_estimate: bool = Field(default=False, description="By list prices.")


class AnswerList(BaseModel):
    """All questions to a session, oldest first."""

    answers: list[Answer] = Field(default_factory=list)

    @property
    def cost_usd(self) -> float:
        """What all of them have cost."""
        return sum(one.cost_usd or 0.0 for one in self.answers)
