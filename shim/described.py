"""The commands, the tables of wildloop.toml and the known agents, as the docs show them."""

import typing
from collections.abc import Iterator
from types import UnionType
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from wildloop.blocks.agents.baseline.config import BudgetTable, Dimension, Train
from wildloop.blocks.agents.entry import AgentEntry
from wildloop.blocks.agents.registry import TOOLS
from wildloop.blocks.agents.table import KNOWN
from wildloop.flows.project import TABLES

OF_THE_BUILT_IN: dict[str, type[BaseModel]] = {
    "train": Train,
    "search.NAME": Dimension,
    "budget": BudgetTable,
}
_TOLD_APART = {"train", "search", "baseline", "budget", "agents", ""}


def commands() -> dict[str, Any]:
    """Every command (of click's kind) by its words, those of groups too: `memories add`."""
    from wildloop.shim.cli.main import application

    return dict(_commands(typer.main.get_command(application()), ""))


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None or (command.invoke_without_command and name):
        yield name, command
    for word, one in (inner or {}).items():
        yield from _commands(one, f"{name} {word}".strip())


def options_of(command: Any) -> list[str]:
    """Every spelling of every option of a command."""
    found = [one for one in command.params if one.param_type_name == "option"]
    return [text for one in found for text in (*one.opts, *one.secondary_opts)]


def commands_table() -> str:
    """Every command: its arguments, what it does, its options."""
    rows = ["| command | what it does | options |", "| --- | --- | --- |"]
    for name, command in sorted(commands().items()):
        given = [_argument(one) for one in command.params if one.param_type_name == "argument"]
        usage = " ".join(["wildloop", name, *given])
        said = " ".join((command.help or "").split())
        options = [f"`{one}`" for one in options_of(command) if one.startswith("--")]
        rows.append(f"| `{_cell(usage)}` | {_cell(said)} | {', '.join(options)} |")
    return "\n".join(rows)


def _argument(one: Any) -> str:
    name = one.name.upper()
    return name if one.required else f"[{name}]"


def toml_tables() -> str:
    """Every table of wildloop.toml with its keys."""
    found = {name: model for name, model in TABLES.items() if name not in _TOLD_APART}
    tables: dict[str, type[BaseModel]] = {**OF_THE_BUILT_IN, **found, "agents.NAME": AgentEntry}
    parts = []
    for name, model in tables.items():
        rows = [
            f"### [{name}]",
            "",
            "| key | type | default | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for key, field in model.model_fields.items():
            rows.append(
                f"| `{field.alias or key}` | {_cell(_type(field.annotation))} | {_default(field)} "
                f"| {_cell(field.description or '')} |"
            )
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def agents_table() -> str:
    """Every agent that has a name."""
    rows = ["| agent | command | key | to install |", "| --- | --- | --- | --- |"]
    for name, kind in TOOLS.items():
        hint = kind.install_hint
        rows.append(f"| `{name}` | built in: stream, tokens, cost, limits | | `{hint}` |")
    for name, entry in KNOWN.items():
        keys = ", ".join(f"`{one}`" for one in entry.passed[:3])
        rows.append(f"| `{name}` | `{_cell(entry.command)}` | {keys} | `{entry.install}` |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if value is None or value in ("", [], {}, ()):
        return ""
    return f"`{value!r}`" if not isinstance(value, bool) else f"`{str(value).lower()}`"


def _type(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, UnionType):
        return " or ".join(_type(one) for one in inner if one is not type(None))
    if origin is typing.Annotated:
        return _type(inner[0])
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in (list, tuple):
        return f"list of {_type(inner[0])}"
    plain = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    if annotation in plain:
        return plain[annotation]
    return "any" if annotation is Any else str(getattr(annotation, "__name__", annotation)).lower()
