"""Reading the skills: shipped prompts, and a project's own that shadow them."""

import importlib.resources
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from wildloop.flows.errors import InvalidRequest, NotFound
from wildloop.flows.models.skill import (
    Skill,
    SkillFile,
    SkillFileContent,
    SkillSource,
    SkillSummary,
)
from wildloop.flows.skills import files
from wildloop.flows.skills.apart import render_apart
from wildloop.flows.skills.document import is_id, parse_skill
from wildloop.flows.skills.template import render, used_variables

_WEIGHTS = {"id": 8, "name": 6, "description": 4, "category": 2, "template": 1}


def shipped_skills_path() -> Path:
    """The folder of the skills that ship with Wildloop."""
    return Path(str(importlib.resources.files("wildloop.skills")))


def project_skills_path(workdir: Path) -> Path:
    """The folder of a project's own skills."""
    return workdir / ".wild" / "skills"


class SkillLibrary:
    """Reads skills fresh from their files at every call.

    Args:
        shipped: folder of the shipped skills.
        project: folder of the project's skills, if any; they shadow shipped ones.
    """

    def __init__(self, shipped: Path, project: Path | None = None) -> None:
        self.shipped = shipped
        self.project = project

    def all(self) -> list[SkillSummary]:
        """Every skill, by id. One that cannot be read says so in its description."""
        found = []
        for id in sorted(_ids(self.shipped) | _ids(self.project)):
            try:
                found.append(SkillSummary.model_validate(self.get(id).model_dump()))
            except InvalidRequest as error:
                found.append(
                    SkillSummary(
                        id=id,
                        name=id,
                        description=str(error),
                        category="broken",
                        source=self.locate(id)[0],
                    )
                )
        return found

    def get(self, id: str) -> Skill:
        """One skill.

        Raises:
            NotFound: there is none with this id.
            InvalidRequest: its SKILL.md is broken.
        """
        source, folder = self.locate(id)
        shadows = source == "project" and self.is_shipped(id)
        return parse_skill(id, read_text(folder, id), source, shadows_shipped=shadows)

    def locate(self, id: str) -> tuple[SkillSource, Path]:
        """Where the skill in force lies; NotFound if there is none."""
        if is_id(id):
            if self.project is not None and _is_skill(self.project / id):
                return "project", self.project / id
            if _is_skill(self.shipped / id):
                return "shipped", self.shipped / id
        raise NotFound("skill", id)

    def is_shipped(self, id: str) -> bool:
        """Whether a skill of this id ships with Wildloop, shadowed or not."""
        return is_id(id) and _is_skill(self.shipped / id)

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

    def render(
        self, id: str, variables: Mapping[str, Any], known: Collection[str] | None = None
    ) -> str:
        """A skill's text with its variables filled in.

        Values are text: a template inside one is not evaluated.

        Args:
            id: of the skill.
            variables: by name.
            known: names that may be given beside those of the skill; None: any may.

        Raises:
            NotFound: there is no such skill.
            InvalidRequest: a variable is missing or unknown, or the template is broken.
        """
        skill = self.get(id)
        if known is not None:
            names = {*known, *skill.variables, *used_variables(id, skill.template)}
            if unknown := sorted(set(variables) - names):
                raise InvalidRequest(
                    f"skill '{id}' has no variable {', '.join(map(ascii, unknown))}: give some of "
                    f"{', '.join(sorted(names))}"
                )
        if skill.source != "shipped":
            return render_apart(id, skill.template, variables)
        return render(id, skill.template, variables)

    def files(self, id: str) -> list[SkillFile]:
        """The files of a skill, SKILL.md among them; NotFound if there is none of this id."""
        return files.list_files(self.open(id))

    def file(self, id: str, path: str) -> SkillFileContent:
        """One file of a skill.

        Raises:
            NotFound: there is no such skill or file.
            InvalidRequest: the path leads out of the skill, or the file is too large.
        """
        return files.read_file(self.open(id), path)

    def open(self, id: str) -> Path:
        """The folder of the skill in force; InvalidRequest if it is a link."""
        _, folder = self.locate(id)
        check_folder(folder, id)
        return folder


def read_text(folder: Path, id: str) -> str:
    """A skill's SKILL.md; InvalidRequest if it cannot be read as text."""
    check_folder(folder, id)
    try:
        return files.read_bytes(folder, files.FILE).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"skill '{id}': SKILL.md is not UTF-8: save it as UTF-8") from error
    except NotFound as error:
        raise InvalidRequest(
            f"skill '{id}': SKILL.md is a link or cannot be read: put the file itself there"
        ) from error


def check_folder(folder: Path, id: str) -> None:
    """Raise InvalidRequest if a skill's folder is a link: it would show files from elsewhere."""
    if folder.is_symlink():
        raise InvalidRequest(f"skill '{id}' is a link to another folder: copy the folder instead")


def _ids(root: Path | None) -> set[str]:
    if root is None or not root.is_dir():
        return set()
    return {folder.name for folder in root.iterdir() if is_id(folder.name) and _is_skill(folder)}


def _is_skill(folder: Path) -> bool:
    return (folder / files.FILE).is_file()
