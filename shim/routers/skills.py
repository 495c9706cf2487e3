"""Prompt skills over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query

from flows.models.skill import Skill, SkillSummary
from shim.deps import Skills
from shim.errors import RESPONSES

router = APIRouter(prefix="/prompt-skills", tags=["prompt-skills"], responses=RESPONSES)


@router.get("", summary="List the skills")
async def list_skills(skills: Skills) -> list[SkillSummary]:
    """Shipped skills and the project's own; needs no token."""
    return skills.all()


@router.get("/search", summary="Search the skills")
async def search_skills(
    skills: Skills, q: Annotated[str, Query(min_length=1, max_length=500)]
) -> list[SkillSummary]:
    """Skills that have a word of the query, best first."""
    return skills.search(q)


@router.get("/{skill_id}", summary="Read a skill")
async def get_skill(skill_id: str, skills: Skills) -> Skill:
    """A skill with its template."""
    return skills.get(skill_id)
