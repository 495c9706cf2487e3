"""The shipped prompt skills, as data: one folder each with a SKILL.md."""
