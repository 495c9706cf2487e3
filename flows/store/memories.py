"""The memory bank: lessons of earlier sessions of a project, an artifact each."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel

from flows.protocol.tags import Memory
from flows.store import artifacts
from flows.store.base import Store

PREFIX = "memory-"
READ_LIMIT = 500
SHOWN = 30


class StoredMemory(BaseModel):
    """One lesson, with where it came from."""

    id: str
    tag: str
    text: str
    project: str
    session_id: str
    created_at: float


class MemoryStore(Store):
    """Add and read lessons."""

    async def add(self, lessons: Sequence[Memory], project: Path, session_id: str) -> None:
        """Keep the lessons that the bank does not hold yet."""
        known = {memory.text for memory in await self.recent(project, READ_LIMIT)}
        for lesson in lessons:
            if lesson.text in known:
                continue
            known.add(lesson.text)
            memory = StoredMemory(
                id=str(uuid4()),
                tag=lesson.tag,
                text=lesson.text,
                project=str(project),
                session_id=session_id,
                created_at=datetime.now(UTC).timestamp(),
            )
            await artifacts.write(
                self.client,
                PREFIX + memory.id,
                text=f"**{memory.tag}**: {memory.text}",
                description=f"Lesson of session {session_id}",
                record=memory.model_dump_json(),
            )

    async def recent(self, project: Path, limit: int = SHOWN) -> list[StoredMemory]:
        """The lessons of a project, newest first."""
        found = await artifacts.latest_by_prefix(self.client, PREFIX, READ_LIMIT)
        memories = [
            StoredMemory.model_validate_json(artifacts.record_of(artifact))
            for artifact in found.values()
        ]
        return [memory for memory in memories if memory.project == str(project)][:limit]
