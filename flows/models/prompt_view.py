"""A prompt of a session as the API shows it."""

from pydantic import BaseModel, Field


class PromptView(BaseModel):
    """Answer of `GET /wild/v2/prompt/{session_id}`."""

    session_id: str
    label: str = Field(description="Of the call, as in the iteration log.")
    is_sent: bool = Field(description="False: as it would be sent now.")
    prompt: str
    tokens: dict[str, int] = Field(description="About how many, by part.")
    repeated: float | None = Field(
        default=None, description="Share of it that stood at the head of the one before."
    )
