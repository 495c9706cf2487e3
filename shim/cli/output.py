"""How the command line speaks: tables for people, one JSON document for programs."""

import json
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from pydantic import BaseModel

from wildloop.flows.files.disk import DiskLimits, home_fault
from wildloop.flows.settings import wildloop_home


def fail(message: str, code: int = 1) -> NoReturn:
    """End with one message on stderr."""
    typer.echo(f"wildloop: {message}", err=True)
    raise typer.Exit(code)


def note_full_disk() -> None:
    """Say on stderr that the home's disk is full, if it is: nothing new begins then."""
    if fault := home_fault(wildloop_home(), DiskLimits.from_environment()):
        typer.echo(f"Note: {fault}; new runs wait until there is", err=True)


def print_json(value: BaseModel | Sequence[BaseModel] | dict[str, Any]) -> None:
    """Print one JSON document."""
    if isinstance(value, BaseModel):
        text = value.model_dump_json(indent=2)
    elif isinstance(value, dict):
        text = json.dumps(value, indent=2)
    else:
        text = json.dumps([item.model_dump(mode="json") for item in value], indent=2)
    typer.echo(text)
