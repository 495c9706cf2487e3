"""The skill library: shipped prompts, and a project's own that shadow them."""

import importlib.resources
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from jinja2 import StrictUndefined, TemplateError, UndefinedError
from jinja2.sandbox import SandboxedEnvironment
from pydantic import ValidationError

from flows.errors import InvalidRequest, NotFound
from flows.models.skill import Skill, SkillSummary

FILE = "SKILL.md"
_ID = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$")
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*\n?(.*)\Z", re.DOTALL)
_WEIGHTS = {"id": 8, "name": 6, "description": 4, "category": 2, "template": 1}


def shipped_skills_path() -> Path:
    """The folder of the skills that ship with Wildloop."""
    return Path(str(importlib.resources.files("skills")))


class SkillLibrary:
    """Reads skills fresh from their files at every call.

    Args:
        shipped: folder of the shipped skills.
        project: folder of the project's skills, if any; they shadow shipped ones.
    """

    def __init__(self, shipped: Path, project: Path | None = None) -> None:
        self._folders: list[tuple[Literal["project", "shipped"], Path]] = [("shipped", shipped)]
        if project is not None:
            self._folders.insert(0, ("project", project))

    def all(self) -> list[SkillSummary]:
        """Every skill, by id. One that cannot be read says so in its description."""
        ids = {
            folder.name
            for _, root in self._folders
            if root.is_dir()
            for folder in root.iterdir()
            if (folder / FILE).is_file() and _ID.match(folder.name)
        }
        found = []
        for id in sorted(ids):
            try:
                found.append(SkillSummary.model_validate(self.get(id).model_dump()))
            except InvalidRequest as error:
                found.append(
                    SkillSummary(id=id, name=id, description=str(error), category="broken")
                )
        return found

    def get(self, id: str) -> Skill:
        """One skill.

        Raises:
            NotFound: there is none with this id.
            InvalidRequest: its front matter is broken.
        """
        if _ID.match(id):
            for source, root in self._folders:
                path = root / id / FILE
                if path.is_file():
                    return parse_skill(id, path.read_text(encoding="utf-8"), source)
        raise NotFound("skill", id)

    def search(self, query: str) -> list[SkillSummary]:
        """The skills that have a word of the query, best first."""
        words = [word for word in re.split(r"\W+", query.lower().replace("_", " ")) if word]
        ranked = []
        for summary in self.all():
            if summary.category == "broken":
                continue
            skill = self.get(summary.id)
            score = sum(
                weight * sum(word in str(getattr(skill, field)).lower() for word in words)
                for field, weight in _WEIGHTS.items()
            )
            if score:
                ranked.append((score, summary))
        return [summary for _, summary in sorted(ranked, key=lambda pair: (-pair[0], pair[1].id))]

    def render(self, id: str, variables: Mapping[str, Any]) -> str:
        """A skill's text with its variables filled in.

        Values are text: a template inside one is not evaluated.

        Raises:
            NotFound: there is no such skill.
            InvalidRequest: a variable is missing, or the template is broken.
        """
        skill = self.get(id)
        environment = SandboxedEnvironment(
            undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        try:
            return environment.from_string(skill.template).render(dict(variables))
        except UndefinedError as error:
            raise InvalidRequest(f"skill '{id}': {error.message}: give this variable") from error
        except TemplateError as error:
            raise InvalidRequest(f"skill '{id}': {error}: mend its SKILL.md") from error


def parse_skill(id: str, text: str, source: Literal["shipped", "project"]) -> Skill:
    """A skill from its SKILL.md.

    Raises:
        InvalidRequest: the front matter is missing or broken.
    """
    match = _FRONT_MATTER.match(text.replace("\r\n", "\n"))
    if match is None:
        raise InvalidRequest(
            f"skill '{id}': SKILL.md must begin with front matter between two lines of ---"
        )
    try:
        data = yaml.safe_load(match[1])
        if not isinstance(data, dict):
            raise InvalidRequest(f"skill '{id}': the front matter must be a mapping")
        known = {
            key: str(value) if key == "version" else value
            for key, value in data.items()
            if key in Skill.model_fields
        }
        return Skill.model_validate(
            {"name": id, **known, "id": id, "template": match[2], "source": source}
        )
    except (yaml.YAMLError, ValidationError) as error:
        detail = " ".join(str(error).split())
        raise InvalidRequest(f"skill '{id}': broken front matter: {detail}") from error
