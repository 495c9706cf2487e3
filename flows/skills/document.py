"""SKILL.md as text: front matter between two lines of `---`, then the body."""

import re
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from wildloop.flows.errors import InvalidRequest, faults_of
from wildloop.flows.models.skill import RESERVED_IDS, Skill, SkillSource, SkillUpdate

_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n(.*))?\Z", re.DOTALL)


class SkillDocument(BaseModel):
    """Front matter and body of a SKILL.md; keys that Wildloop does not know are kept."""

    front_matter: dict[str, Any]
    body: str
    first_line: int = 1

    def changed(self, update: SkillUpdate, variables: list[str] | None) -> "SkillDocument":
        """With the fields that an update gives, and with these variables if any are given."""
        given = update.model_dump(
            include={"name", "description", "category", "version"}, exclude_none=True
        )
        listed = {} if variables is None else {"variables": variables}
        body = self.body if update.template is None else update.template
        return SkillDocument(front_matter={**self.front_matter, **given, **listed}, body=body)

    def text(self) -> str:
        """The SKILL.md."""
        head = yaml.safe_dump(self.front_matter, sort_keys=False, allow_unicode=True, width=1000)
        return f"---\n{head}---\n{self.body}"


def is_id(id: str) -> bool:
    """Whether this may be a skill's id."""
    return _ID.fullmatch(id) is not None


def check_new_id(id: str) -> None:
    """Raise InvalidRequest if no new skill may have this id."""
    if not is_id(id):
        raise InvalidRequest(
            f"id '{printable(id)}' is no skill id: take letters, digits, '_', '-' and '.', at most "
            "100, beginning with a letter or digit"
        )
    if id.lower() in RESERVED_IDS:
        raise InvalidRequest(f"id '{id}' is a path of the API: take another")


def printable(text: str) -> str:
    """Text of unknown origin, fit for a message."""
    return text[:200].encode("unicode_escape").decode("ascii")


def parse_document(id: str, text: str) -> SkillDocument:
    """Split a SKILL.md.

    Raises:
        InvalidRequest: the front matter is missing or broken.
    """
    match = _FRONT_MATTER.match(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    if match is None:
        raise InvalidRequest(
            f"skill '{id}': SKILL.md must begin with front matter between two lines of ---"
        )
    try:
        data = yaml.safe_load(match[1])
    except (yaml.YAMLError, RecursionError) as error:
        raise _broken(id, error) from error
    if not isinstance(data, dict):
        raise InvalidRequest(
            f"skill '{id}': the front matter must be a mapping, as 'description: ...'"
        )
    return SkillDocument(
        front_matter={str(key): value for key, value in data.items()},
        body=match[2] or "",
        first_line=match[1].count("\n") + 4,
    )


def parse_skill(id: str, text: str, source: SkillSource, *, shadows_shipped: bool = False) -> Skill:
    """A skill from its SKILL.md.

    Raises:
        InvalidRequest: the front matter is missing or broken.
    """
    return to_skill(id, parse_document(id, text), source, shadows_shipped=shadows_shipped)


def to_skill(
    id: str, document: SkillDocument, source: SkillSource, *, shadows_shipped: bool = False
) -> Skill:
    """A skill from its parsed SKILL.md; InvalidRequest if a field is missing or wrong."""
    known = {
        key: str(value) if key == "version" else value
        for key, value in document.front_matter.items()
        if key in {"name", "description", "category", "version", "variables"}
    }
    fields = {"name": id, **known, "id": id, "template": document.body, "source": source}
    try:
        return Skill.model_validate(fields | {"shadows_shipped": shadows_shipped})
    except ValidationError as error:
        raise _broken(id, error) from error


def _broken(id: str, error: Exception) -> InvalidRequest:
    if isinstance(error, ValidationError):
        detail = faults_of(error)
    else:
        detail = " ".join(str(error).split())
    return InvalidRequest(f"skill '{id}': broken front matter: {detail}")
