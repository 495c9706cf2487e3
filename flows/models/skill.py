"""The prompt skill: a versioned prompt with front matter."""

from typing import Literal

from pydantic import BaseModel, Field


class SkillSummary(BaseModel):
    """A skill as listings show it."""

    id: str
    name: str
    description: str
    category: str = "general"
    version: str = "1"
    variables: list[str] = Field(default_factory=list)
    source: Literal["shipped", "project"] = "shipped"


class Skill(SkillSummary):
    """A skill with its text."""

    template: str = Field(description="The body: Markdown with Jinja2 variables.")
