"""The memory bank over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from wildloop.flows.models.memory import Memory, MemoryCreate, MemorySource, MemoryTag, MemoryUpdate
from wildloop.flows.store.base import RESEARCH_LOOP
from wildloop.flows.store.memories import MemoryFilter
from wildloop.flows.store.session_mapping import spec_of
from wildloop.shim.apart import OWN, READ
from wildloop.shim.deps import Memories, Sessions, WithAgent, WithSettings
from wildloop.shim.errors import RESPONSES

router = APIRouter(prefix="/memories", tags=["memories"], responses=RESPONSES)


@router.get("", summary="List memories, newest first", openapi_extra=READ)
async def list_memories(
    memories: Memories,
    project: Annotated[str | None, Query(description="Folder of the project.")] = None,
    session_id: str | None = None,
    tag: MemoryTag | None = None,
    source: MemorySource | None = None,
    is_active: bool | None = None,
    q: Annotated[str | None, Query(max_length=500, description="Text that it contains.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> list[Memory]:
    """Lessons of all projects, or of one."""
    return await memories.select(
        MemoryFilter(
            project=project,
            session_id=session_id,
            tag=tag,
            source=source,
            is_active=is_active,
            query=q,
            limit=limit,
            offset=offset,
        )
    )


@router.post(
    "",
    summary="Keep a memory",
    status_code=201,
    responses={200: {"model": Memory, "description": "It was there already."}},
    openapi_extra=OWN,
)
async def create_memory(
    body: MemoryCreate,
    memories: Memories,
    sessions: Sessions,
    settings: WithSettings,
    agent: WithAgent,
    response: Response,
) -> Memory:
    """201 for a new one; 200 and the one that is there, if the project has the same already.

    What an agent keeps is marked as an agent's, and is about its session's project.
    """
    if agent is not None:
        own = {"source": MemorySource.AGENT, "session_id": agent, "project": None}
        body = body.model_copy(update=own)
    project = body.project or str(settings.workdir)
    if body.session_id is not None:
        session = await sessions.read_flow_run("session", body.session_id, RESEARCH_LOOP)
        project = body.project or spec_of(session).workdir
    memory, is_new = await memories.create(body, project)
    response.status_code = 201 if is_new else 200
    return memory


@router.get("/{memory_id}", summary="Read a memory", openapi_extra=READ)
async def get_memory(memory_id: str, memories: Memories) -> Memory:
    """A lesson, and in how many prompts it has stood."""
    return await memories.get(memory_id)


@router.patch("/{memory_id}", summary="Change a memory")
async def change_memory(memory_id: str, body: MemoryUpdate, memories: Memories) -> Memory:
    """Give only what changes. With `is_active: false` it is kept, but no prompt shows it."""
    return await memories.change(memory_id, body)


@router.delete("/{memory_id}", summary="Delete a memory", status_code=204)
async def delete_memory(memory_id: str, memories: Memories) -> None:
    """With its history. To keep that, switch it off instead."""
    await memories.delete(memory_id)
