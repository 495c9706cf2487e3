"""The memory bank of a project: an artifact each, a version at every change.

The key is `memory-<project digest>-<text digest>`: a project's memories are one query by prefix,
and the same text written twice at once lands under one key.
"""

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel

from wildloop.flows.errors import Conflict, InvalidRequest, NotFound
from wildloop.flows.models.memory import (
    Claim,
    Memory,
    MemoryCreate,
    MemorySource,
    MemoryTag,
    MemoryUpdate,
    MemoryUses,
    Shown,
    gist,
    normalised,
    weight,
)
from wildloop.flows.protocol import tags
from wildloop.flows.store import artifacts
from wildloop.flows.store.base import Store

PREFIX = "memory-"
DESCRIBED = 200
USES_PREFIX = "memories-uses-"
READ_LIMIT = 10_000
SHOWN = 30
SHOWN_CHARACTERS = 12_000
PAGE = 200
_ID = re.compile(r"[0-9a-f-]{1,100}")


class MemoryFilter(BaseModel):
    """Which memories are asked for; None means any."""

    project: str | None = None
    session_id: str | None = None
    tag: MemoryTag | None = None
    source: MemorySource | None = None
    is_active: bool | None = None
    query: str | None = None
    limit: int = 100
    offset: int = 0

    def matches(self, memory: Memory) -> bool:
        """Whether a memory is asked for."""
        wanted = (self.session_id, self.tag, self.source, self.is_active)
        has = (memory.session_id, memory.tag, memory.source, memory.is_active)
        if any(one is not None and one != other for one, other in zip(wanted, has, strict=True)):
            return False
        text = f"{memory.title or ''} {memory.content}".casefold()
        return self.query is None or self.query.casefold() in text


class MemoryStore(Store):
    """Add, read, change and delete lessons."""

    async def add(
        self,
        lessons: Sequence[tags.Memory],
        project: Path,
        session_id: str,
        shown: Mapping[str, Shown] = {},
    ) -> None:
        """Keep the lessons of a session's reflection; one that is there already is found again.

        Found again by another session, that is: a session that repeats itself proves nothing.

        Args:
            lessons: what it says.
            project: folder of the project that it is about.
            session_id: of the session.
            shown: what the session's account has established, with the level of the evidence,
                what it claims and its runs; a lesson that says so word for word has these, every
                other is an opinion.
        """
        bank = await self._bank(project_path(project))
        for lesson in lessons:
            behind = next((shown[text] for text in shown if text in lesson.text), None)
            draft = _draft(
                content=lesson.text,
                tag=MemoryTag(lesson.tag),
                source=MemorySource.REFLECTION,
                session_id=session_id,
                project=project_path(project),
            )
            if behind is not None:
                update = {"evidence": behind.level, "claim": behind.claim, "runs": behind.runs}
                draft = draft.model_copy(update=update)
            found = _same(bank, draft.content) or _of_same_claim(bank, draft)
            if found is None:
                bank.append(await self._insert(bank, draft))
            elif found.is_contradicted and behind is None:
                # Saying it once more, as it stood in the prompt, proves nothing.
                continue
            elif found.session_id != session_id and (found.confirmed_by != session_id):
                again = found.model_copy(
                    update={
                        "confirmations": found.confirmations + 1,
                        "confirmed_at": _now(),
                        "confirmed_by": session_id,
                        "runs": draft.runs or found.runs,
                    }
                )
                bank[bank.index(found)] = again
                await self._write(again)

    async def contradict(
        self, project: Path, session_id: str, find: Callable[[Claim], str | None]
    ) -> None:
        """Mark the lessons of earlier sessions that this session's runs do not bear out.

        Args:
            project: folder of the project.
            session_id: of the session that has ended.
            find: what was measured instead of what a lesson claims; None where that says nothing
                against it.
        """
        for memory in await self._bank(project_path(project)):
            if memory.claim is None or memory.session_id == session_id:
                continue
            instead = find(memory.claim)
            if instead is not None and memory.contradicted_by != session_id:
                update = {
                    "contradicted_by": session_id,
                    "contradicted_at": _now(),
                    "instead": instead,
                }
                await self._write(memory.model_copy(update=update))

    async def create(self, body: MemoryCreate, project: str) -> tuple[Memory, bool]:
        """A new memory; the one that says the same already, if there is one.

        Args:
            body: what is to be kept.
            project: folder of the project that it is about.

        Returns:
            The memory, and whether it is new.

        Raises:
            InvalidRequest: the project is no absolute path, or the text holds the token.
        """
        self._check_secret(body.content, body.title)
        fields = body.model_dump(exclude={"project"})
        draft = _draft(**fields, project=project_path(project))
        bank = await self._bank(draft.project)
        found = _same(bank, draft.content)
        if found is not None:
            return await self._with_uses(found), False
        return await self._insert(bank, draft), True

    async def get(self, id: str) -> Memory:
        """One memory; NotFound if there is none of this id."""
        return await self._with_uses(await self._read(id))

    async def select(self, wanted: MemoryFilter) -> list[Memory]:
        """Memories, newest first."""
        project = None if wanted.project is None else project_path(wanted.project)
        found = [memory for memory in await self._bank(project) if wanted.matches(memory)]
        page = found[wanted.offset : wanted.offset + wanted.limit]
        uses = await self._uses({memory.project for memory in page})
        return [memory.model_copy(update={"uses": uses.get(memory.id, 0)}) for memory in page]

    async def change(self, id: str, body: MemoryUpdate) -> Memory:
        """Change a memory: a new version of its artifact. Of two at once the later one stays.

        Raises:
            NotFound: there is none of this id.
            InvalidRequest: nothing is given, or the text holds the token.
            Conflict: another memory of the project says the same.
        """
        changes = body.model_dump(include=body.model_fields_set)
        if not changes:
            raise InvalidRequest("nothing to change: give content, title, tag or is_active")
        self._check_secret(body.content, body.title)
        memory = await self._read(id)
        if "content" in changes:
            bank = [other for other in await self._bank(memory.project) if other.id != id]
            same = _same(bank, changes["content"])
            if same is not None:
                raise Conflict(f"content: memory '{same.id}' says this already: change that one")
        changed = memory.model_copy(update=changes | {"updated_at": _now()})
        await self._write(changed)
        return await self._with_uses(changed)

    async def delete(self, id: str) -> None:
        """Delete a memory with all its versions; NotFound if there is none of this id."""
        await self._read(id)
        while versions := await self.client.read_artifacts(
            artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[PREFIX + id])), limit=PAGE
        ):
            # One by one: the server moves its pointer to the next version at each.
            for version in versions:
                await self._delete_version(version.id)

    async def recent(self, project: Path, limit: int = SHOWN) -> list[Memory]:
        """What a prompt may show of a project: what people wrote, then lessons by `weight`.

        At most `limit` memories of about 12,000 characters together; switched-off ones never.
        """
        bank = [memory for memory in await self._bank(project_path(project)) if memory.is_active]
        if not bank:
            return []
        uses, now = await self._uses({project_path(project)}), _now()
        counted = [one.model_copy(update={"uses": uses.get(one.id, 0)}) for one in bank]
        shown: list[Memory] = []
        room = SHOWN_CHARACTERS
        for memory in sorted(
            counted, key=lambda one: (one.source is not MemorySource.USER, -weight(one, now))
        ):
            if len(shown) == limit:
                break
            # A long one leaves its place to the short ones after it.
            if len(memory.line) <= room:
                room -= len(memory.line)
                shown.append(memory)
        return shown

    async def for_prompt(self, project: Path) -> list[Memory]:
        """`recent`, counted as one use of each. Counts of two sessions at once may be lost."""
        shown = await self.recent(project)
        if shown:
            counts = await self._uses({project_path(project)})
            for memory in shown:
                counts[memory.id] = counts.get(memory.id, 0) + 1
            await self._write_uses(project_path(project), counts)
        return shown

    def _check_secret(self, *texts: str | None) -> None:
        """Memories are put into prompts, where the token must never stand."""
        token = self.settings.token.get_secret_value() if self.settings.token else ""
        if token and any(token in text for text in texts if text):
            raise InvalidRequest("content or title holds the server's token: leave it out")

    async def _bank(self, project: str | None) -> list[Memory]:
        prefix = PREFIX if project is None else f"{PREFIX}{_digest(project, 12)}-"
        found = await artifacts.latest_by_prefix(self.client, prefix, READ_LIMIT)
        memories = [_memory(artifacts.record_of(artifact)) for artifact in found.values()]
        return sorted(memories, key=lambda memory: -memory.created_at)

    async def _read(self, id: str) -> Memory:
        found = await artifacts.latest(self.client, PREFIX + id) if _ID.fullmatch(id) else {}
        if not found:
            raise NotFound("memory", id)
        return _memory(artifacts.record_of(found[PREFIX + id]))

    async def _insert(self, bank: Sequence[Memory], draft: Memory) -> Memory:
        """Write a new memory under an id that no changed one holds."""
        taken = {memory.id for memory in bank}
        first = f"{_digest(draft.project, 12)}-{_digest(normalised(draft.content), 16)}"
        id = first
        for number in range(2, len(taken) + 3):
            if id not in taken:
                break
            id = f"{first}-{number}"
        memory = draft.model_copy(update={"id": id})
        await self._write(memory)
        return memory

    async def _write(self, memory: Memory) -> None:
        off = "" if memory.is_active else " (switched off)"
        title = f"{memory.title}: " if memory.title else ""
        origin = f"session {memory.session_id}" if memory.session_id else memory.source.value
        await artifacts.write(
            self.client,
            PREFIX + memory.id,
            text=f"**{memory.tag.value}**{off}: {title}{memory.content}\n\n"
            f"Of {memory.project}, by {origin}.",
            description=f"{memory.tag.value}: {title or memory.content}"[:DESCRIBED],
            record=memory.model_dump_json(exclude={"uses"}),
        )

    async def _with_uses(self, memory: Memory) -> Memory:
        uses = await self._uses({memory.project})
        return memory.model_copy(update={"uses": uses.get(memory.id, 0)})

    async def _uses(self, projects: set[str]) -> dict[str, int]:
        keys = [USES_PREFIX + _digest(project, 12) for project in projects]
        found = await artifacts.latest(self.client, *keys)
        counts: dict[str, int] = {}
        for artifact in found.values():
            counts |= MemoryUses.model_validate_json(artifacts.record_of(artifact)).counts
        return counts

    async def _write_uses(self, project: str, counts: dict[str, int]) -> None:
        await artifacts.write(
            self.client,
            USES_PREFIX + _digest(project, 12),
            text=f"How often the memories of {project} have stood in a prompt.",
            record=MemoryUses(counts=counts).model_dump_json(),
        )

    async def _delete_version(self, id: UUID) -> None:
        try:
            await self.client.delete_artifact(id)
        except ObjectNotFound:
            return


def project_path(project: Path | str) -> str:
    """The name by which a project is known: its absolute path, without `..` and doubled slashes.

    Raises:
        InvalidRequest: it is not absolute.
    """
    text = str(project)
    if not Path(text).is_absolute() or "\x00" in text:
        raise InvalidRequest("project: give the absolute path of the project's folder")
    return os.path.normpath(text)


def _draft(
    *,
    content: str,
    tag: MemoryTag,
    source: MemorySource,
    session_id: str | None,
    project: str,
    title: str | None = None,
) -> Memory:
    now = _now()
    return Memory(
        id="",
        title=title,
        content=content,
        tag=tag,
        source=source,
        session_id=session_id,
        project=project,
        created_at=now,
        updated_at=now,
    )


def _memory(record: str) -> Memory:
    memory = Memory.model_validate_json(record)
    return memory.model_copy(update={"updated_at": memory.updated_at or memory.created_at})


def _same(bank: Sequence[Memory], content: str) -> Memory | None:
    wanted = gist(content)
    return next((memory for memory in bank if gist(memory.content) == wanted), None)


def _of_same_claim(bank: Sequence[Memory], draft: Memory) -> Memory | None:
    """A lesson of another session on the same two settings: that its numbers differ is no news."""
    claim = draft.claim
    if claim is None:
        return None
    return next(
        (
            memory
            for memory in bank
            if memory.claim is not None
            and memory.claim.is_about(claim)
            and memory.session_id != draft.session_id
        ),
        None,
    )


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:length]


def _now() -> float:
    return datetime.now(UTC).timestamp()
