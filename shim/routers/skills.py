"""Prompt skills over HTTP. Reading needs no token; writing changes the project's own skills."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse

from wildloop.flows.models.skill import (
    RenderedSkill,
    Skill,
    SkillCreate,
    SkillDeleted,
    SkillFile,
    SkillFileContent,
    SkillFileWrite,
    SkillInstall,
    SkillRender,
    SkillsInstalled,
    SkillsReloaded,
    SkillSummary,
    SkillUpdate,
)
from wildloop.flows.prompt.sections import PromptContext
from wildloop.flows.prompt.served import served_skill
from wildloop.shim.apart import READ
from wildloop.shim.deps import Editor, Installer, Skills, WithSettings
from wildloop.shim.errors import RESPONSES
from wildloop.shim.models import ErrorBody

router = APIRouter(prefix="/prompt-skills", tags=["prompt-skills"], responses=RESPONSES)

# Plain functions: FastAPI runs them in threads, so that files and templates hold up nobody else.


@router.get("", summary="List the skills", openapi_extra=READ)
def list_skills(skills: Skills) -> list[SkillSummary]:
    """Shipped skills and the project's own; needs no token."""
    return skills.all()


@router.post("", summary="Create a skill of the project", status_code=201)
def create_skill(body: SkillCreate, editor: Editor) -> Skill:
    """The template is compiled first; `variables` are taken from it where they are not given."""
    return editor.create(body)


@router.get("/search", summary="Search the skills", openapi_extra=READ)
def search_skills(
    skills: Skills, q: Annotated[str, Query(min_length=1, max_length=500)]
) -> list[SkillSummary]:
    """Skills that have a word of the query, best first."""
    return skills.search(q)


@router.post("/reload", summary="Read all skills anew")
def reload_skills(skills: Skills) -> SkillsReloaded:
    """Skills are read from their files at every call; this says which cannot be read."""
    found = skills.all()
    broken = [skill for skill in found if skill.category == "broken"]
    return SkillsReloaded(count=len(found), broken=broken)


@router.post(
    "/install",
    summary="Install skills from a git URL or a folder (off by default)",
    status_code=201,
    responses={403: {"model": ErrorBody, "description": "Switched off."}},
)
async def install_skills(body: SkillInstall, installer: Installer) -> SkillsInstalled:
    """All skills of the source are checked first; all are put in place, or none."""
    return await installer.install(body)


@router.get("/{skill_id}", summary="Read a skill", openapi_extra=READ)
def get_skill(skill_id: str, skills: Skills) -> Skill:
    """A skill with its template."""
    return skills.get(skill_id)


@router.put("/{skill_id}", summary="Change a skill")
def update_skill(skill_id: str, body: SkillUpdate, editor: Editor) -> Skill:
    """What is left out stays. A shipped skill is copied into the project, where it shadows."""
    return editor.update(skill_id, body)


@router.delete("/{skill_id}", summary="Delete a skill of the project")
def delete_skill(skill_id: str, editor: Editor) -> SkillDeleted:
    """A shipped skill that it shadowed is in force again."""
    return editor.delete(skill_id)


@router.post("/{skill_id}/render", summary="Fill in a skill's variables", openapi_extra=READ)
def render_skill(skill_id: str, body: SkillRender, skills: Skills) -> RenderedSkill:
    """Every variable that the template needs must be given; one that nobody knows is refused."""
    text = skills.render(skill_id, body.variables, known=PromptContext.model_fields)
    return RenderedSkill(id=skill_id, rendered=text)


@router.get(
    "/{skill_id}/text",
    summary="Read a skill, filled in for a session",
    openapi_extra=READ,
    response_class=PlainTextResponse,
)
def get_skill_text(
    skill_id: str,
    skills: Skills,
    settings: WithSettings,
    request: Request,
    session_id: Annotated[str | None, Query(pattern=r"^[\w-]{1,200}$")] = None,
) -> str:
    """Markdown with the server's address and the session's id in it; needs no token."""
    return served_skill(
        skills,
        skill_id,
        server_url=settings.server_url,
        session_id=session_id,
        openapi=request.app.openapi,
    )


@router.get("/{skill_id}/files", summary="List a skill's files", openapi_extra=READ)
def list_skill_files(skill_id: str, skills: Skills) -> list[SkillFile]:
    """SKILL.md and what lies beside it."""
    return skills.files(skill_id)


@router.get("/{skill_id}/files/{path:path}", summary="Read a skill's file", openapi_extra=READ)
def get_skill_file(skill_id: str, path: str, skills: Skills) -> SkillFileContent:
    """Text as it is, anything else in base64."""
    return skills.file(skill_id, path)


@router.put("/{skill_id}/files/{path:path}", summary="Write a skill's file")
def put_skill_file(
    skill_id: str, path: str, body: SkillFileWrite, editor: Editor
) -> SkillFileContent:
    """At most 1 MB a file and 100 files. A shipped skill is copied into the project first."""
    return editor.write_file(skill_id, path, body)
