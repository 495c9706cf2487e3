"""Prompt skills: the shipped ones, and a project's own that shadow them."""

from wildloop.flows.skills.document import parse_skill
from wildloop.flows.skills.editing import SkillEditor
from wildloop.flows.skills.install import SkillInstaller
from wildloop.flows.skills.library import SkillLibrary, shipped_skills_path

__all__ = ["SkillEditor", "SkillInstaller", "SkillLibrary", "parse_skill", "shipped_skills_path"]
