"""Tools about the compute, the skills and a session's events."""

from typing import ClassVar

from pydantic import Field

from wildloop.flows.models.session import SessionEvent
from wildloop.shim.mcp.text import ANSWER_CHARACTERS, MOST_ITEMS, cut_middle, to_json
from wildloop.shim.mcp.tool import Desk, FilePath, Id, Tool, ToolMisused, quoted


class Cluster(Tool):
    """The compute: its GPUs or partitions, its slots, and the runs on it.

    capacity: g slots in all, r held, q runs queued, max_new_runs that may start now.
    """

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        return to_json(desk.api.request("GET", "/cluster"))


class SystemHealth(Tool):
    """How many runs have which status, and room for how many more."""

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        return to_json(desk.api.request("GET", "/wild/v2/system-health"))


class SearchSkills(Tool):
    """Find skills: guides for the work here, such as planning, scheduling, handling alerts."""

    query: str = Field(default="", max_length=500, description="Words; empty: all skills.")

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        if self.query.strip():
            found = desk.api.request("GET", "/prompt-skills/search", params={"q": self.query})
        else:
            found = desk.api.request("GET", "/prompt-skills")
        skills = [{key: skill.get(key) for key in ("id", "description")} for skill in found]
        return to_json(skills) if skills else "no skill has one of these words"


class ReadSkill(Tool):
    """Read a skill, filled in for this session, or a file that lies beside it."""

    skill_id: Id = Field(description="As search_skills lists it.")
    path: FilePath | None = Field(default=None, description="A file of the skill's folder.")

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        base = f"/prompt-skills/{quoted(self.skill_id)}"
        if self.path is not None:
            file = desk.api.request("GET", f"{base}/files/{quoted(self.path)}")
            return cut_middle(file["content"], ANSWER_CHARACTERS)
        query = {"session_id": desk.session_id} if desk.session_id else {}
        text = cut_middle(desk.api.text(f"{base}/text", params=query), ANSWER_CHARACTERS)
        files = [file["path"] for file in desk.api.request("GET", f"{base}/files")]
        beside = [path for path in files if path != "SKILL.md"]
        return f"{text}\n\n[files beside it: {to_json(beside)}]" if beside else text


class Events(Tool):
    """What a session should know of: ended runs, alerts, steers; oldest first."""

    reads_only: ClassVar[bool] = False
    session_id: Id | None = Field(default=None, description="Default: this session.")
    resolve: list[Id] = Field(
        default_factory=list,
        max_length=MOST_ITEMS,
        description="Ids of events to mark as dealt with.",
    )
    include_resolved: bool = Field(default=False, description="Those dealt with too.")

    def call(self, desk: Desk) -> str:
        """See `Tool.call`."""
        session_id = self.session_id or desk.session_id
        if session_id is None:
            raise ToolMisused("session_id: this is no session's agent: give the id of one")
        path = f"/wild/v2/events/{quoted(session_id)}"
        answer = desk.api.request("GET", path)
        if self.resolve:
            answer = desk.api.request("POST", f"{path}/resolve", json={"event_ids": self.resolve})
        found = [SessionEvent.model_validate(event) for event in answer]
        wanted = [event for event in found if self.include_resolved or not event.resolved]
        shown = [event.model_dump(mode="json") for event in wanted[-MOST_ITEMS:]]
        earlier = len(wanted) - len(shown)
        if not shown:
            return "no events"
        return to_json({"events": shown} | ({"earlier ones left out": earlier} if earlier else {}))
